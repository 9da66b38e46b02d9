"""The memory that training takes: parameters, gradients, what an optimizer and backward keep."""

import math
from dataclasses import dataclass
from typing import Any

from accelsim.network.backward import kept_for_backward, training_step
from accelsim.network.graph import Network
from accelsim.network.ops.fields import LARGEST_BATCH
from accelsim.network.ops.gradients import Loss, Optimizer
from accelsim.network.recompute import recomputed
from accelsim.report.sheet import Column, Row, Sheet, facts
from accelsim.results import SCHEMA
from accelsim.units import format_bytes

VALUE_BYTES = 4
"""Of float32."""
_STATES: dict[Optimizer, int] = {"sgd": 0, "momentum": 1, "adam": 2}


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """Values that one step of training keeps at the same time, as its forward pass ends.

    `activations` are those of one image: the inputs, and every ofmap that the backward pass reads
    where it was kept. `recomputed` are those of the block that has most, of one image too.
    """

    network: str
    batch: int
    parameters: int
    optimizer_values: int
    activations: int
    recomputed: int = 0

    @property
    def fixed_bytes(self) -> int:
        """Parameters, their gradients and the optimizer's state: whatever the batch is."""
        return VALUE_BYTES * (2 * self.parameters + self.optimizer_values)

    @property
    def image_bytes(self) -> int:
        """What one more image takes."""
        return VALUE_BYTES * (self.activations + self.recomputed)

    @property
    def total_bytes(self) -> int:
        """All of it."""
        return self.fixed_bytes + self.batch * self.image_bytes

    def largest_batch(self, memory_bytes: int) -> int:
        """Images that fit in a memory, as many as run at a time; 0 where not even one does."""
        fits = (memory_bytes - self.fixed_bytes) // self.image_bytes
        return min(max(fits, 0), LARGEST_BATCH)

    def as_dict(self, memory_bytes: int | None) -> dict[str, Any]:
        """The JSON form."""
        again = self.recomputed
        fits = {} if memory_bytes is None else {"largest_batch": self.largest_batch(memory_bytes)}
        return {
            "schema": SCHEMA,
            "kind": "training_memory",
            "network": self.network,
            "batch": self.batch,
            "parameter_bytes": VALUE_BYTES * self.parameters,
            "gradient_bytes": VALUE_BYTES * self.parameters,
            "optimizer_bytes": VALUE_BYTES * self.optimizer_values,
            "activation_bytes_per_image": self.image_bytes,
            "activation_bytes": self.batch * self.image_bytes,
            **({"recomputed_bytes_per_image": VALUE_BYTES * again} if again else {}),
            "total_bytes": self.total_bytes,
            **fits,
        }


def training_memory(
    network: Network,
    batch: int,
    loss: Loss = "cross_entropy",
    optimizer: Optimizer = "sgd",
    recompute: bool = False,
) -> TrainingMemory:
    """What training `network` keeps, in float32."""
    step = training_step(network, loss, optimizer, recompute=recompute)
    parameters = (network.training or network).parameters
    kept = sum(math.prod(layer.output_shape) for layer in kept_for_backward(step))
    return TrainingMemory(
        network=network.name,
        batch=batch,
        parameters=parameters,
        optimizer_values=_STATES[optimizer] * parameters,
        activations=kept + sum(map(math.prod, network.inputs.values())),
        recomputed=recomputed(step),
    )


def memory_sheets(found: TrainingMemory, memory_bytes: int | None) -> list[Sheet]:
    """Everything `show NETWORK --train` prints."""
    images = found.batch
    fixed = {
        "parameters": found.parameters,
        "gradients of them": found.parameters,
        "optimizer state": found.optimizer_values,
    }
    rows = [Row((name, "", format_bytes(VALUE_BYTES * count))) for name, count in fixed.items()]
    held = {"activations kept for the backward pass": found.activations}
    held |= {"computed again, of the largest block": found.recomputed} if found.recomputed else {}
    for name, values in held.items():
        size = VALUE_BYTES * values
        rows.append(Row((name, format_bytes(size), format_bytes(images * size))))
    total = Row(("total", "", format_bytes(found.total_bytes)), style="bold")
    columns = (Column("float32", text=True), Column("per image"), Column(f"batch {images:,}"))
    sheet = Sheet(
        title=f"{found.network}: memory of training",
        columns=columns,
        rows=tuple(rows),
        totals=(total,),
    )
    if memory_bytes is None:
        return [sheet]
    return [
        sheet,
        facts("Fits", ((f"in {format_bytes(memory_bytes)}", _fits(found, memory_bytes)),)),
    ]


def _fits(found: TrainingMemory, memory_bytes: int) -> str:
    """How many images fit in a memory, in words."""
    images = found.largest_batch(memory_bytes)
    if not images:
        one = format_bytes(found.fixed_bytes + found.image_bytes)
        return f"not even one; one needs {one}"
    return f"{images:,} images" + (", the most at a time" if images == LARGEST_BATCH else "")
