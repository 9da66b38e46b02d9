"""From a network to one step of its training: forward, loss, gradients, updates, in one Network.

One rule per layer type says which layers make the gradients of its inputs and parameters from the
gradient of its ofmap. Where several layers read a tensor, their gradients are added. Gradients are
of the loss summed over the images of the batch.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import singledispatchmethod
from itertools import product

from accelsim.errors import InputError, Problem
from accelsim.network.backward_products import (
    of_attention_context,
    of_attention_scores,
    of_matmul,
)
from accelsim.network.forward import activation_of, forward_pass, tells
from accelsim.network.graph import Layer, LayerSpec, Network, build_network
from accelsim.network.ops import (
    Add,
    AttentionContext,
    AttentionScores,
    AvgPool,
    Concat,
    Conv,
    Dense,
    Elementwise,
    Flatten,
    Lrn,
    MatMul,
    MaxPool,
    Mul,
    Op,
    Reshape,
    Shape,
    Slice,
    Softmax,
    Transpose,
)
from accelsim.network.ops.gradients import (
    AvgPoolGradient,
    BatchNormForward,
    BatchNormInputGradient,
    BetaGradient,
    BiasGradient,
    ChannelMean,
    ChannelVariance,
    ConvInputGradient,
    ConvWeightGradient,
    DenseInputGradient,
    DenseWeightGradient,
    DropoutMask,
    ForwardMask,
    FunctionGradient,
    GammaGradient,
    GradientProduct,
    GradientSum,
    GradientTranspose,
    Interleave,
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
from accelsim.network.ops.window import phase_axis
from accelsim.units import ceil_div

TARGET = "target"
"""The network input that holds what the network should have said."""

_UPDATES: Mapping[Optimizer, tuple[tuple[str, int, int], ...]] = {
    "sgd": (("", 2, 2),),
    "momentum": (("/velocity", 2, 2), ("", 2, 2)),
    "adam": (("/mean", 2, 3), ("/square", 2, 4), ("", 3, 6)),
}
"""For each array that an optimizer writes, the parameter last: arrays read, lane operations."""


def training_step(
    network: Network,
    loss: Loss = "cross_entropy",
    optimizer: Optimizer = "sgd",
    rate: float = 0.01,
) -> Network:
    """One step of training `network`, as a network with the input `target` beside its own.

    The layers of the forward pass keep their names. Raises InputError with every layer that has no
    rule, and where the network has several outputs.
    """
    forward = forward_pass(network, loss)
    _refuse_untrainable(forward)
    step = Step(forward, optimizer, rate)
    for output, weight in forward.loss_weights.items():
        step.begin(forward.by_name[output], loss, weight)
    for layer in reversed(forward.layers):
        step.go_back(layer)
    target = forward.by_name[forward.outputs[0]].output_shape
    inputs = {**forward.inputs, TARGET: target}
    return build_network(
        forward.name, inputs, step.specs, forward.description, weights=network.weights
    )


def _refuse_untrainable(network: Network) -> None:
    rules = Step.__dict__["rule"].dispatcher
    problems = [
        Problem(f"layers of type {layer.op.name!r} cannot be trained", network.name, key=layer.name)
        for layer in network.layers
        if rules.dispatch(type(layer.op)) is rules.dispatch(object)
    ]
    if problems:
        raise InputError(problems)


# --- Backward -------------------------------------------------------------------------------------


@dataclass
class Step:
    """A training step in the making: `specs` are its layers, `gradients` those given so far."""

    network: Network
    optimizer: Optimizer
    rate: float
    specs: list[LayerSpec] = field(default_factory=list)
    gradients: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.specs += [LayerSpec(each.name, each.op, each.inputs) for each in self.network.layers]
        self.wanted = _wanted(self.network)

    def add(self, name: str, op: Op, *inputs: str) -> str:
        """A layer of the step; returns its name."""
        self.specs.append(LayerSpec(name, op, inputs))
        return name

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

    def updated(self, layer: Layer, parameter: str, shape: Shape, gradient: str) -> None:
        """The optimizer's layers for one parameter."""
        for kept, reads, operations in _UPDATES[self.optimizer]:
            op = Update(
                shape=shape,
                owner=layer.name,
                parameter=parameter,
                kept=bool(kept),
                reads=reads,
                operations=operations,
                rate=self.rate,
            )
            gradient = self.add(f"{layer.name}.{parameter}{kept}@update", op, gradient)

    # --- One rule per layer type ------------------------------------------------------------------

    @singledispatchmethod
    def rule(self, op: Op, layer: Layer, gradient: str) -> None:
        """Add the gradients of what a layer of type `op` reads, given that of its ofmap."""
        raise NotImplementedError(f"no gradient of layers of type {op.name!r}")

    @rule.register
    def _(self, op: Conv, layer: Layer, gradient: str) -> None:
        x, ifmap = layer.inputs[0], layer.input_shapes[0]
        if _is_dense(op, layer):
            self._dense(Dense(out_features=op.out_channels), layer, gradient)
            return
        self._learned(layer, gradient, ConvWeightGradient, conv=op, ifmap=ifmap)
        if not self.passes(layer):
            return
        windows = op.windows(ifmap)
        places = [
            at
            for at in product(range(op.stride[0]), range(op.stride[1]))
            if all(phase_axis(window, place) for window, place in zip(windows, at, strict=True))
            and all(place < window.size for window, place in zip(windows, at, strict=True))
        ]
        name, parts = f"{layer.name}@input_gradient", []
        alone = op.stride == (1, 1)
        for at in places:
            sizes = (
                ceil_div(window.size - place, window.stride)
                for window, place in zip(windows, at, strict=True)
            )
            phase = ConvInputGradient(
                shape=(ifmap[0], *sizes), owner=layer.name, conv=op, ifmap=ifmap, at=at
            )
            parts.append(self.add(name if alone else f"{name}[{at[0]},{at[1]}]", phase, gradient))
        if not alone:
            self.add(name, Interleave(shape=ifmap, stride=op.stride, places=tuple(places)), *parts)
        self.give(x, name)

    @rule.register
    def _(self, op: Dense, layer: Layer, gradient: str) -> None:
        self._dense(op, layer, gradient)

    def _dense(self, op: Dense, layer: Layer, gradient: str) -> None:
        """The gradients of a dense layer, or of a convolution that is one."""
        if layer.op.owner_of_parameters is not None:
            message = "a layer that shares another one's weight cannot be trained"
            raise InputError(Problem(message, self.network.name, key=layer.name))
        self._learned(layer, gradient, DenseWeightGradient, dense=op)
        if self.passes(layer):
            back = DenseInputGradient(shape=layer.input_shapes[0], owner=layer.name, dense=op)
            self.give(layer.inputs[0], self.add(f"{layer.name}@input_gradient", back, gradient))

    def _learned(
        self,
        layer: Layer,
        gradient: str,
        kind: type[ConvWeightGradient] | type[DenseWeightGradient],
        **settings: object,
    ) -> None:
        """Gradients and updates of a weight and its bias."""
        shapes = layer.parameter_shapes
        op = kind(shape=shapes["weight"], **settings)  # type: ignore[arg-type]
        name = self.add(f"{layer.name}@weight_gradient", op, layer.inputs[0], gradient)
        self.updated(layer, "weight", shapes["weight"], name)
        if "bias" in shapes:
            bias = BiasGradient(shape=shapes["bias"])
            name = self.add(f"{layer.name}@bias_gradient", bias, gradient)
            self.updated(layer, "bias", shapes["bias"], name)

    @rule.register(ChannelMean)
    @rule.register(ChannelVariance)
    def _(self, op: Op, layer: Layer, gradient: str) -> None:
        """Never asked: the batch norm's own rule knows what comes through its statistics."""

    @rule.register
    def _(self, op: BatchNormForward, layer: Layer, gradient: str) -> None:
        gamma, beta = layer.parameter_shapes["gamma"], layer.parameter_shapes["beta"]
        reads = (gradient, *layer.inputs)
        gammas = GammaGradient(shape=gamma, epsilon=op.epsilon)
        of_gamma = self.add(f"{layer.name}@gamma_gradient", gammas, *reads)
        of_beta = self.add(f"{layer.name}@beta_gradient", BiasGradient(shape=beta), gradient)
        if self.passes(layer):
            back = BatchNormInputGradient(
                shape=layer.output_shape, owner=layer.name, epsilon=op.epsilon
            )
            name = self.add(f"{layer.name}@input_gradient", back, *reads, of_gamma, of_beta)
            self.give(layer.inputs[0], name)
        self.updated(layer, "gamma", gamma, of_gamma)
        self.updated(layer, "beta", beta, of_beta)

    @rule.register
    def _(self, op: Mul, layer: Layer, gradient: str) -> None:
        pairs = zip(layer.inputs, reversed(layer.inputs), layer.input_shapes, strict=True)
        for index, (name, other, shape) in enumerate(pairs):
            if self.wanted[name]:
                whole = shape == layer.output_shape
                if not whole and shape != (*layer.output_shape[:1], 1, 1):
                    message = f"a product with a factor of shape {shape} cannot be trained"
                    raise InputError(Problem(message, self.network.name, key=layer.name))
                back = GradientProduct() if whole else ProductSum(shape=shape)
                self.give(name, self.add(f"{layer.name}@factor{index}", back, gradient, other))

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
    def _(self, op: Slice, layer: Layer, gradient: str) -> None:
        self._passed(layer, SliceGradient(shape=layer.input_shapes[0], taken=op), gradient)

    @rule.register
    def _(self, op: Softmax, layer: Layer, gradient: str) -> None:
        self._passed(
            layer, SoftmaxGradient(shape=layer.output_shape, softmax=op), gradient, layer.name
        )

    rule.register(MatMul, of_matmul)
    rule.register(AttentionScores, of_attention_scores)
    rule.register(AttentionContext, of_attention_context)

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
        self.updated(layer, "beta", shape, beta)
        self.updated(layer, "offset", shape, offset)

    @rule.register
    def _(self, op: ForwardMask, layer: Layer, gradient: str) -> None:
        mask = DropoutMask(shape=layer.output_shape, rate=op.rate, seed=op.seed)
        self._passed(layer, mask, gradient)

    @rule.register
    def _(self, op: Add, layer: Layer, gradient: str) -> None:
        for index, (name, shape) in enumerate(zip(layer.inputs, layer.input_shapes, strict=True)):
            if shape == layer.output_shape:
                self.give(name, gradient)
            elif self.wanted[name]:
                summed = self.add(f"{layer.name}@term{index}", PixelSum(shape=shape), gradient)
                self.give(name, summed)

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


def _is_dense(op: Conv, layer: Layer) -> bool:
    """Whether a convolution has one window, which is its whole ifmap."""
    windows = op.windows(layer.input_shapes[0])
    whole = all(each.extent == each.kernel == each.size for each in windows)
    return whole and op.groups == 1 and layer.output_shape[1:] == (1, 1)


def _wanted(network: Network) -> dict[str, bool]:
    """Tensors whose gradient is of use: something before them, or of them, is learned."""
    wanted = dict.fromkeys(network.inputs, False)
    for layer in network.layers:
        before = any(wanted[name] for name in layer.inputs)
        wanted[layer.name] = before or bool(layer.parameter_shapes)
    return wanted


def kept_for_backward(step: Network) -> Sequence[Layer]:
    """Layers of the forward pass whose ofmaps a later phase reads."""
    backward = [layer for layer in step.layers if layer.op.phase != "forward"]
    read = {name for layer in backward for name in layer.inputs}
    return [layer for layer in step.layers if layer.op.phase == "forward" and layer.name in read]


def elements(layers: Sequence[Layer]) -> int:
    """Values of the ofmaps of layers, for one image."""
    return sum(math.prod(layer.output_shape) for layer in layers)
