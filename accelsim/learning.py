"""Learning on a simulated accelerator: every step is computed by the very tiles that are timed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from accelsim.facade import compile_program, refuse_integer_gradients
from accelsim.given import HardwareLike, NetworkLike, hardware_of, network_of
from accelsim.lowering.program import Program
from accelsim.network.backward import TARGET, training_step
from accelsim.network.graph import Network
from accelsim.network.ops.gradients import Loss, LossGradient, Update
from accelsim.numerics.compare import precision_arithmetic
from accelsim.numerics.computation import Computation, Ofmap
from accelsim.numerics.formats import Array
from accelsim.numerics.parameters import Parameters
from accelsim.numerics.reference import reference
from accelsim.numerics.tiled import execute
from accelsim.results import RunResult
from accelsim.results.player import timed


@dataclass
class Learner:
    """A network that learns by plain descent, `batch` images at a time.

    `arrays` are its parameters by `<layer>.<name>`, which each step replaces; `time` is what a
    step takes on the hardware. Rates are per image: gradients are summed over the batch.
    """

    program: Program
    network: Network
    parameters: Parameters
    loss: Loss
    time: RunResult
    arrays: dict[str, Array] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        network: NetworkLike,
        hardware: HardwareLike,
        batch: int,
        loss: Loss = "cross_entropy",
        rate: float = 0.01,
        seed: int = 0,
    ) -> "Learner":
        """A network with parameters from `seed`; raises InputError for integer formats."""
        model, machine = network_of(network), hardware_of(hardware)
        step = training_step(model, loss, rate=rate / batch)
        refuse_integer_gradients(step, machine)
        program = compile_program(step, machine, batch=batch)
        made = Parameters.of(step, precision_arithmetic(machine.precision), seed)
        learned = (layer for layer in step.layers if layer.parameter_shapes)
        arrays = {
            f"{layer.name}.{name}": array
            for layer in learned
            for name, array in made.layer(layer).arrays.items()
        }
        return cls(
            program=program,
            network=model,
            parameters=made,
            loss=loss,
            time=timed(program),
            arrays=arrays,
        )

    def learn(self, images: Array, targets: Array) -> float:
        """One step; returns the loss of an image before it.

        `images` are (batch, *shape) of the network's only input, `targets` (batch, *output).
        """
        (name,) = (each for each in self.program.network.inputs if each != TARGET)
        loss, changed = 0.0, {}
        for work, ofmap in self._computed({name: images, TARGET: targets}):
            op = work.layer.op
            if isinstance(op, LossGradient):
                loss += op.weight * self._loss_of(work)
            elif isinstance(op, Update) and not op.kept:
                key = f"{op.owner}.{op.parameter}"
                changed[key] = self.arrays[key].copy()
                part = changed[key][op.rows]
                part[...] = ofmap.values.reshape(part.shape)
        self.arrays |= changed
        return loss / len(images)

    def _computed(self, given: Mapping[str, Array]) -> "list[tuple[Computation, Ofmap]]":
        """Every layer of a step, by its tiles."""
        programs = {each.layer.name: each for each in self.program.layers}
        parameters = replace(self.parameters, given={**self.arrays, **given})
        step, batch = self.program.network, self.program.batch
        return list(
            reference(
                step,
                parameters.arithmetic,
                parameters,
                batch,
                lambda work: execute(programs[work.layer.name], work),
            )
        )

    def _loss_of(self, work: Computation) -> float:
        """Summed over the images."""
        found, wanted = (x.values.astype(np.float64) for x in work.inputs)
        if self.loss == "squared_error":
            return float(np.square(found - wanted).sum() / 2)
        return float(-(wanted * np.log(np.maximum(found, 1e-30))).sum())

    def outputs(self, images: Array) -> Array:
        """What the network says to images now, (N, *output), by the reference."""
        (name,) = self.network.inputs
        parameters = Parameters.of(
            self.network, self.parameters.arithmetic, given={**self.arrays, name: images}
        )
        layers = reference(self.network, parameters.arithmetic, parameters, len(images))
        *_, (_, ofmap) = layers
        return ofmap.values
