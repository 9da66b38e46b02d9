"""From a network to one step of its training: forward, loss, gradients, updates, in one Network.

One rule per layer type says which layers make the gradients of its inputs and parameters from the
gradient of its ofmap. Where several layers read a tensor, their gradients are added. Gradients are
of the loss summed over the images of the batch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import singledispatchmethod

from accelsim.errors import InputError, Problem
from accelsim.network.backward_batch_norm import of_batch_norm, of_statistic
from accelsim.network.backward_convolutions import of_conv, of_dense, of_mixture
from accelsim.network.backward_norms import (
    narrowed,
    of_expand,
    of_norm,
    of_reduction,
    of_scale_shift,
)
from accelsim.network.backward_pointwise import COMPARING, given_gradients, of_pointwise
from accelsim.network.backward_products import (
    of_attention_context,
    of_attention_scores,
    of_matmul,
)
from accelsim.network.backward_spatial import (
    of_local,
    of_pad,
    of_phase,
    of_phases,
    of_places,
)
from accelsim.network.backward_splits import of_split_part, of_splits
from accelsim.network.backward_tokens import (
    of_as_values,
    of_class_token,
    of_embedding,
    of_position,
    of_rotary,
)
from accelsim.network.forward import activation_of, forward_pass, tells
from accelsim.network.graph import Layer, LayerSpec, Network, build_network
from accelsim.network.ops import (
    Add,
    Append,
    AsValues,
    AttentionContext,
    AttentionScores,
    AvgPool,
    ClassToken,
    Concat,
    Conv,
    Dense,
    DynamicQuantize,
    Elementwise,
    Embedding,
    Expand,
    Flatten,
    Local,
    Lrn,
    Maps,
    MatMul,
    MaxPool,
    Mixture,
    Mul,
    Normalised,
    Op,
    Pad,
    Phase,
    Phases,
    Position,
    Reduction,
    Reshape,
    Resize,
    Rotary,
    ScaleShift,
    Shape,
    Sloped,
    Softmax,
    SplitPart,
    Taking,
    Transpose,
)
from accelsim.network.ops.fields import is_per_channel
from accelsim.network.ops.gradients import (
    AvgPoolGradient,
    BatchNormForward,
    BetaGradient,
    BiasGradient,
    ChannelMean,
    ChannelVariance,
    DropoutMask,
    ForwardMask,
    FunctionGradient,
    GradientProduct,
    GradientSum,
    GradientTranspose,
    Loss,
    LossGradient,
    LrnGradient,
    MaxPoolGradient,
    Optimizer,
    Part,
    PixelSum,
    ProductSum,
    ScaledForward,
    ScaledGradient,
    SliceGradient,
    SoftmaxGradient,
    Update,
    View,
    WindowSum,
    WindowSumGradient,
)
from accelsim.network.ops.token_gradients import ParameterSum
from accelsim.network.recompute import with_recompute

TARGET = "target"
"""The network input that holds what the network should have said."""

_UPDATES: Mapping[Optimizer, tuple[tuple[str, int, int], ...]] = {
    "sgd": (("", 2, 2),),
    "momentum": (("/velocity", 2, 2), ("", 2, 2)),
    "adam": (("/mean", 2, 3), ("/square", 2, 4), ("", 3, 6)),
}
"""For each array that an optimizer writes, the parameter last: arrays read, lane operations."""

REFUSED: Mapping[type[Op], str] = {
    **dict.fromkeys(
        COMPARING,
        "what it chooses or compares has no gradient here; train on the network without it",
    ),
    DynamicQuantize: "it rounds as inference does; train on the network without it",
    Append: "it goes on from a cache, and a cache is of inference; train on whole sequences",
}
"""Layer types that have no rule, and why."""


def training_step(
    network: Network,
    loss: Loss = "cross_entropy",
    optimizer: Optimizer = "sgd",
    rate: float = 0.01,
    recompute: bool = False,
) -> Network:
    """One step of training `network`, as a network with the input `target` beside its own.

    With `recompute` it keeps only what goes from block to block, and computes the rest again.

    The layers of the forward pass keep their names. Raises InputError with every layer that has no
    rule, and where the network has several outputs or no parameters.
    """
    forward = forward_pass(network, loss)
    _refuse_untrainable(forward)
    if not any(layer.parameter_shapes for layer in forward.layers):
        raise InputError(
            Problem(message="has no parameters, so there is nothing to train", source=network.name)
        )
    step = Step(network=forward, optimizer=optimizer, rate=rate)
    for output, weight in forward.loss_weights.items():
        step.begin(forward.by_name[output], loss, weight)
    for layer in reversed(forward.layers):
        step.go_back(layer)
    step.finish()
    target = forward.by_name[next(iter(forward.loss_weights))].output_shape
    inputs = {**forward.inputs, TARGET: target}
    built = build_network(
        forward.name, inputs, step.specs, forward.description, weights=network.weights
    )
    return with_recompute(built) if recompute else built


def _refuse_untrainable(network: Network) -> None:
    rules = Step.__dict__["rule"].dispatcher
    wanted = _wanted(network)
    through = {layer.name for layer in given_gradients(network, wanted)}
    problems = []
    for layer in network.layers:
        kind, message = type(layer.op), ""
        needed = layer.name in through or kind not in COMPARING
        if needed and rules.dispatch(kind) is rules.dispatch(object):
            why = REFUSED.get(kind, "no rule says what its gradient is")
            message = f"layers of type {layer.op.name!r} cannot be trained: {why}"
        elif layer.name not in through and layer.parameter_shapes:
            message = "cannot be trained: what is made of it is only compared, or looks up rows"
        if message:
            problems.append(Problem(message=message, source=network.name, key=layer.name))
    if problems:
        raise InputError(problems)


# --- Backward -------------------------------------------------------------------------------------


@dataclass
class Step:
    """A training step in the making: `specs` are its layers, `gradients` those given so far.

    `together` has those of weights that are shared, `parts` those of parts by what was split.
    """

    network: Network
    optimizer: Optimizer
    rate: float
    specs: list[LayerSpec] = field(default_factory=list)
    gradients: dict[str, list[str]] = field(default_factory=dict)
    together: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    parts: dict[str, list[tuple[Layer, SplitPart, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.specs += [LayerSpec(each.name, each.op, each.inputs) for each in self.network.layers]
        self.wanted = _wanted(self.network)
        self.shared = {layer.op.owner_of_parameters for layer in self.network.layers}

    def add(self, name: str, op: Op, *inputs: str) -> str:
        """A layer of the step; returns its name."""
        self.specs.append(LayerSpec(name, op, inputs))
        return name

    def once(self, name: str, op: Op, *inputs: str) -> str:
        """A layer of the step, unless it is there already."""
        known = any(spec.name == name for spec in self.specs)
        return name if known else self.add(name, op, *inputs)

    def give(self, tensor: str, gradient: str) -> None:
        """A reader's gradient of a tensor."""
        self.gradients.setdefault(tensor, []).append(gradient)

    def begin(self, last: Layer, loss: Loss, weight: float) -> None:
        """The gradient of the loss; behind a softmax it is that of the softmax's ifmap."""
        op = LossGradient(shape=last.output_shape, loss=loss, weight=weight)
        name = "loss@gradient" if weight == 1 else f"{last.name}@gradient"
        gradient = self.add(name, op, last.name, TARGET)
        fused = loss == "cross_entropy"
        self.give(last.inputs[0] if fused else last.name, gradient)

    def go_back(self, layer: Layer) -> None:
        """Add the gradients of a layer's inputs and parameters, if the loss depends on it."""
        of_splits(self, layer.name)
        given = self.gradients.pop(layer.name, [])
        if not given or not self.wanted[layer.name]:
            return
        gradient = given[0]
        if len(given) > 1:
            gradient = self.add(f"{layer.name}@sum", GradientSum(), *given)
        function = activation_of(layer.op)
        if function is not None:
            op = FunctionGradient(shape=layer.output_shape, function=function, at_output=True)
            gradient = self.add(f"{layer.name}@{function.name}", op, gradient, layer.name)
        self.rule(layer.op, layer, gradient)

    def passes(self, layer: Layer) -> bool:
        """Whether the gradient of a layer's first input is of use."""
        return self.wanted[layer.inputs[0]]

    def updated(
        self, owner: str, parameter: str, shape: Shape, gradient: str, first: int = 0
    ) -> None:
        """The optimizer's layers for one parameter, or its rows from `first` on.

        A weight that several layers compute with waits for the gradients of all of them.
        """
        if parameter in ("weight", "bias") and owner in self.shared:
            self.together.setdefault((owner, parameter), []).append(gradient)
            return
        self._optimised(owner, parameter, shape, gradient, first)

    def finish(self) -> None:
        """The updates of shared weights and biases."""
        for (owner, parameter), gradients in self.together.items():
            shape, gradient = self.network.by_name[owner].parameter_shapes[parameter], gradients[0]
            if len(gradients) > 1:
                summed = ParameterSum(shape=shape)
                gradient = self.add(f"{owner}@{parameter}_gradient/sum", summed, *gradients)
            self._optimised(owner, parameter, shape, gradient, 0)

    def _optimised(
        self, owner: str, parameter: str, shape: Shape, gradient: str, first: int
    ) -> None:
        for kept, reads, operations in _UPDATES[self.optimizer]:
            op = Update(
                shape=shape,
                owner=owner,
                parameter=parameter,
                kept=bool(kept),
                reads=reads,
                operations=operations,
                rate=self.rate,
                first=first,
            )
            gradient = self.add(f"{owner}.{parameter}{kept}@update", op, gradient)

    # --- One rule per layer type ------------------------------------------------------------------

    @singledispatchmethod
    def rule(self, op: Op, layer: Layer, gradient: str) -> None:
        """Add the gradients of what a layer of type `op` reads, given that of its ofmap."""
        raise NotImplementedError(f"no gradient of layers of type {op.name!r}")

    @rule.register
    def _(self, op: Mul, layer: Layer, gradient: str) -> None:
        pairs = zip(layer.inputs, reversed(layer.inputs), layer.input_shapes, strict=True)
        for index, (name, other, shape) in enumerate(pairs):
            if self.wanted[name]:
                whole, made = layer.output_shape, f"{layer.name}@factor{index}"
                by_channel = shape != whole and is_per_channel(shape, whole)
                back = ProductSum(shape=shape) if by_channel else GradientProduct()
                found = self.add(made, back, gradient, other)
                self.give(name, found if by_channel else narrowed(self, made, found, whole, shape))

    @rule.register
    def _(self, op: MaxPool, layer: Layer, gradient: str) -> None:
        back = MaxPoolGradient(shape=layer.input_shapes[0], pool=op)
        self._passed(layer, back, gradient, layer.inputs[0])

    @rule.register
    def _(self, op: AvgPool, layer: Layer, gradient: str) -> None:
        self._passed(layer, AvgPoolGradient(shape=layer.input_shapes[0], pool=op), gradient)

    @rule.register
    def _(self, op: Lrn, layer: Layer, gradient: str) -> None:
        back = LrnGradient(shape=layer.input_shapes[0], lrn=op)
        self._passed(layer, back, gradient, layer.inputs[0])

    @rule.register
    def _(self, op: Elementwise, layer: Layer, gradient: str) -> None:
        told = tells(op)
        back = FunctionGradient(shape=layer.output_shape, function=op, at_output=told)
        self._passed(layer, back, gradient, layer.name if told else layer.inputs[0])

    @rule.register(Flatten)
    @rule.register(Reshape)
    def _(self, op: Op, layer: Layer, gradient: str) -> None:
        self._passed(layer, View(shape=layer.input_shapes[0]), gradient)

    @rule.register
    def _(self, op: Transpose, layer: Layer, gradient: str) -> None:
        inverse = tuple(op.order.index(axis) for axis in range(len(op.order)))
        self._passed(layer, GradientTranspose(order=inverse), gradient)

    @rule.register
    def _(self, op: Taking, layer: Layer, gradient: str) -> None:
        self._passed(layer, SliceGradient(shape=layer.input_shapes[0], taken=op), gradient)

    @rule.register
    def _(self, op: Softmax, layer: Layer, gradient: str) -> None:
        self._passed(
            layer, SoftmaxGradient(shape=layer.output_shape, softmax=op), gradient, layer.name
        )

    rule.register(Sloped, of_pointwise)
    rule.register(SplitPart, of_split_part)
    rule.register(Conv, of_conv)
    rule.register(Mixture, of_mixture)
    rule.register(Dense, of_dense)
    rule.register(ChannelMean, of_statistic)
    rule.register(ChannelVariance, of_statistic)
    rule.register(BatchNormForward, of_batch_norm)
    rule.register(MatMul, of_matmul)
    rule.register(AttentionScores, of_attention_scores)
    rule.register(AttentionContext, of_attention_context)
    rule.register(Normalised, of_norm)
    rule.register(ScaleShift, of_scale_shift)
    rule.register(Reduction, of_reduction)
    rule.register(Expand, of_expand)
    rule.register(Embedding, of_embedding)
    rule.register(AsValues, of_as_values)
    rule.register(Position, of_position)
    rule.register(ClassToken, of_class_token)
    rule.register(Rotary, of_rotary)
    rule.register(Local, of_local)
    rule.register(Phase, of_phase)
    rule.register(Phases, of_phases)
    rule.register(Pad, of_pad)
    rule.register(Resize, of_places)
    rule.register(Maps, of_places)

    @rule.register
    def _(self, op: WindowSum, layer: Layer, gradient: str) -> None:
        back = WindowSumGradient(shape=layer.input_shapes[0], pool=op.pool)
        self._passed(layer, back, gradient)

    @rule.register
    def _(self, op: ScaledForward, layer: Layer, gradient: str) -> None:
        shape, (sums,) = layer.parameter_shapes["beta"], layer.inputs
        beta = self.add(f"{layer.name}@beta_gradient", BetaGradient(shape=shape), gradient, sums)
        offset = self.add(f"{layer.name}@offset_gradient", BiasGradient(shape=shape), gradient)
        back = ScaledGradient(shape=layer.output_shape, owner=layer.name)
        self._passed(layer, back, gradient)
        self.updated(layer.name, "beta", shape, beta)
        self.updated(layer.name, "offset", shape, offset)

    @rule.register
    def _(self, op: ForwardMask, layer: Layer, gradient: str) -> None:
        mask = DropoutMask(shape=layer.output_shape, rate=op.rate, seed=op.seed)
        self._passed(layer, mask, gradient)

    @rule.register
    def _(self, op: Add, layer: Layer, gradient: str) -> None:
        for index, (name, shape) in enumerate(zip(layer.inputs, layer.input_shapes, strict=True)):
            if shape == layer.output_shape:
                self.give(name, gradient)
            elif self.wanted[name] and is_per_channel(shape, layer.output_shape):
                summed = self.add(f"{layer.name}@term{index}", PixelSum(shape=shape), gradient)
                self.give(name, summed)
            elif self.wanted[name]:
                term = f"{layer.name}@term{index}"
                self.give(name, narrowed(self, term, gradient, layer.output_shape, shape))

    @rule.register
    def _(self, op: Concat, layer: Layer, gradient: str) -> None:
        axis, start = op.along(layer.output_shape), 0
        for index, (name, shape) in enumerate(zip(layer.inputs, layer.input_shapes, strict=True)):
            if self.wanted[name]:
                part = Part(shape=shape, axis=axis, start=start)
                self.give(name, self.add(f"{layer.name}@part{index}", part, gradient))
            start += shape[axis]

    def _passed(self, layer: Layer, op: Op, gradient: str, *reads: str) -> None:
        """The gradient of a layer's only input."""
        if self.passes(layer):
            name = self.add(f"{layer.name}@input_gradient", op, gradient, *reads)
            self.give(layer.inputs[0], name)


def _wanted(network: Network) -> dict[str, bool]:
    """Tensors whose gradient is of use: something before them, or of them, is learned."""
    wanted = dict.fromkeys(network.inputs, False)
    for layer in network.layers:
        before = any(wanted[name] for name in layer.inputs)
        learned = layer.parameter_shapes or layer.op.owner_of_parameters
        wanted[layer.name] = before or bool(learned)
    return wanted


def kept_for_backward(step: Network) -> Sequence[Layer]:
    """Layers of the forward pass whose ofmaps a later phase reads."""
    backward = [layer for layer in step.layers if layer.phase != "forward"]
    read = {name for layer in backward for name in layer.inputs}
    return [layer for layer in step.layers if layer.phase == "forward" and layer.name in read]


def elements(layers: Sequence[Layer]) -> int:
    """Values of the ofmaps of layers, for one image."""
    return sum(math.prod(layer.output_shape) for layer in layers)
