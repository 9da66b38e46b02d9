"""Small networks of every layer type that can be trained, drawn anew for each seed."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from accelsim.errors import ShapeError
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import (
    ACTIVATIONS,
    ELEMENTWISE,
    OPS,
    POINTWISE,
    Abs,
    Add,
    AsValues,
    Attention,
    AvgPool,
    BatchNorm,
    Ceil,
    ClassToken,
    CombinedConv,
    Composite,
    Concat,
    ConnectedConv,
    Conv,
    ConvTranspose,
    Cos,
    Dense,
    Dropout,
    Embedding,
    Erf,
    Exp,
    Expand,
    Flatten,
    Floor,
    GroupNorm,
    InstanceNorm,
    Largest,
    LayerNorm,
    Line,
    Local,
    Log,
    Lrn,
    Maps,
    MatMul,
    MaxPool,
    Mean,
    Mixture,
    Mul,
    Op,
    Pad,
    Position,
    Power,
    Reciprocal,
    Reshape,
    Resize,
    RmsNorm,
    Rotary,
    Round,
    ScaleShift,
    Shape,
    Sigmoid,
    Sign,
    Sin,
    Slice,
    Sloped,
    Softmax,
    Split,
    Sqrt,
    SubSampling,
    Sum,
    Tanh,
    ToPower,
    Transpose,
    Truncate,
)

MOST_VALUES = 400
"""Of a tensor, for one image."""
MOST_PARAMETERS = 2500
"""Of a layer."""


@dataclass
class Draw:
    """Choices from one seed."""

    random: np.random.Generator

    def number(self, least: int, most: int) -> int:
        """From `least` to `most`."""
        return int(self.random.integers(least, most + 1))

    def pair(self, least: int, most: int) -> tuple[int, int]:
        return self.number(least, most), self.number(least, most)

    def one(self, *choices: Any) -> Any:
        return choices[self.number(0, len(choices) - 1)]

    def often(self, share: float = 0.5) -> bool:
        return bool(self.random.random() < share)

    def activation(self) -> Any:
        """None in half of all cases."""
        return self.one(*ACTIVATIONS) if self.often() else None

    def divisor(self, number: int) -> int:
        return int(self.one(*(each for each in range(1, number + 1) if number % each == 0)))

    def windows(self) -> dict[str, Any]:
        """A kernel, its stride, and a padding that leaves no window without data."""
        kernel = self.pair(1, 4)
        sides = tuple(self.number(0, size - 1) for size in np.repeat(kernel, 2))
        return {"kernel": kernel, "stride": self.pair(1, 3), "padding": sides}


Rule = Callable[[Draw, Shape], Op]


def _conv(draw: Draw, shape: Shape) -> Op:
    groups = draw.divisor(shape[0])
    windows = draw.windows()
    if draw.often(0.2):
        windows["padding"] = "same"
    return Conv(
        out_channels=groups * draw.number(1, 3),
        groups=groups,
        dilation=draw.pair(1, 2),
        input_gradient=draw.one("phases", "zero_inserted"),
        bias=draw.often(0.7),
        activation=draw.activation(),
        **windows,
    )


def _transposed(draw: Draw, shape: Shape) -> Op:
    stride, groups = draw.pair(1, 3), draw.divisor(shape[0])
    return ConvTranspose(
        out_channels=groups * draw.number(1, 3),
        kernel=draw.pair(1, 4),
        stride=stride,
        padding=tuple(draw.number(0, 2) for _ in "abcd"),  # type: ignore[arg-type]
        output_padding=tuple(draw.number(0, each - 1) for each in stride),  # type: ignore[arg-type]
        groups=groups,
        dilation=draw.pair(1, 2),
        bias=draw.often(0.7),
        activation=draw.activation(),
        form=draw.one("phases", "zero_inserted"),
    )


def _connected(draw: Draw, shape: Shape) -> Op:
    chosen = (
        tuple(map(int, draw.random.permutation(shape[0])[: draw.number(1, shape[0])]))
        for _ in range(draw.number(1, 4))
    )
    return ConnectedConv(connections=tuple(chosen), activation=draw.activation(), **draw.windows())


def _slice(draw: Draw, shape: Shape) -> Op:
    start = tuple(draw.number(0, size - 1) for size in shape)
    stop = tuple(draw.number(at + 1, size) for at, size in zip(start, shape, strict=True))
    return Slice(start=start, stop=stop, step=tuple(draw.number(1, 2) for _ in shape))


def _split(draw: Draw, shape: Shape) -> Op:
    axis = draw.number(0, len(shape) - 1)
    cuts = sorted({draw.number(0, shape[axis]) for _ in range(2)} | {0, shape[axis]})
    return Split(sizes=tuple(map(int, np.diff(cuts))), axis=axis)


def _pad(draw: Draw, shape: Shape) -> Op:
    before, after = (tuple(draw.number(0, min(2, size - 1)) for size in shape) for _ in "ba")
    mode = draw.one("constant", "reflect", "edge")
    if mode != "constant":
        return Pad(before=before, after=after, mode=mode)
    between = tuple(draw.number(0, 2) for _ in shape) if draw.often() else None
    return Pad(before=before, after=after, between=between, value=0.5)


def _resize(draw: Draw, shape: Shape) -> Op:
    return Resize(
        size=draw.pair(1, 7),
        mode=draw.one("nearest", "bilinear"),
        coordinates=draw.one("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"),
        rounding=draw.one("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
    )


def _side_by_side(draw: Draw, shape: Shape) -> tuple[int, ...]:
    first = draw.number(0, len(shape) - 1)
    return tuple(range(first, draw.number(first, len(shape) - 1) + 1))


def _reshape(draw: Draw, shape: Shape) -> Op:
    left, sizes = math.prod(shape), []
    for _ in range(draw.number(0, 3)):
        sizes.append(draw.divisor(left))
        left //= sizes[-1]
    return Reshape(shape=(*sizes, left))


def _maps(draw: Draw, shape: Shape) -> Op:
    return Maps(maps=tuple(draw.number(0, shape[0] - 1) for _ in range(draw.number(1, 5))))


def _expand(draw: Draw, shape: Shape) -> Op:
    return Expand(shape=tuple(draw.number(1, 3) if size == 1 else size for size in shape))


def _rotary(draw: Draw, shape: Shape) -> Op:
    return Rotary(
        heads=draw.divisor(max(shape[1] // 2, 1)),
        interleaved=draw.often(),
        offset=draw.number(0, 3),
    )


MAPS: Mapping[str, Rule] = {
    "conv": _conv,
    "conv_transpose": _transposed,
    "connected_conv": _connected,
    "combined_conv": lambda draw, shape: CombinedConv(
        in_channels=shape[0],
        out_channels=draw.number(1, 4),
        penalty=0.1,
        activation=draw.activation(),
        **draw.windows(),
    ),
    "mixture": lambda draw, shape: Mixture(
        out_channels=draw.number(1, 4), bias=draw.often(), activation=draw.activation()
    ),
    "local": lambda draw, shape: Local(
        out_channels=draw.number(1, 3), activation=draw.activation(), **draw.windows()
    ),
    "max_pool": lambda draw, shape: MaxPool(**draw.windows(), ceil_mode=draw.often()),
    "avg_pool": lambda draw, shape: AvgPool(
        **draw.windows(), ceil_mode=draw.often(), count_padding=draw.often()
    ),
    "avg_pool, global": lambda draw, shape: AvgPool(kernel="global"),
    "sub_sampling": lambda draw, shape: SubSampling(
        **draw.windows(), ceil_mode=draw.often(), activation=draw.activation()
    ),
    "lrn": lambda draw, shape: Lrn(size=2 * draw.number(0, 3) + 1, alpha=0.5),
    "maps": _maps,
    "resize": _resize,
}
"""Of feature maps."""
ROWS: Mapping[str, Rule] = {
    "class_token": lambda draw, shape: ClassToken(),
    "position": lambda draw, shape: Position(length=shape[0] + draw.number(0, 4)),
    "rotary": _rotary,
}
"""Of sequences."""
ANY: Mapping[str, Rule] = {
    "dense": lambda draw, shape: Dense(
        out_features=draw.number(1, 9), bias=draw.often(0.7), activation=draw.activation()
    ),
    "batch_norm": lambda draw, shape: BatchNorm(epsilon=0.1, activation=draw.activation()),
    "layer_norm": lambda draw, shape: LayerNorm(
        axes=draw.number(1, len(shape)), epsilon=0.1, bias=draw.often()
    ),
    "rms_norm": lambda draw, shape: RmsNorm(axes=draw.number(1, len(shape)), epsilon=0.1),
    "group_norm": lambda draw, shape: GroupNorm(groups=draw.divisor(shape[0]), epsilon=0.1),
    "instance_norm": lambda draw, shape: InstanceNorm(epsilon=0.1),
    "scale_shift": lambda draw, shape: ScaleShift(shape=tuple(draw.one(1, size) for size in shape)),
    "softmax": lambda draw, shape: Softmax(axis=draw.number(0, len(shape) - 1)),
    "flatten": lambda draw, shape: Flatten(),
    "reshape": _reshape,
    "transpose": lambda draw, shape: Transpose(
        order=tuple(map(int, draw.random.permutation(len(shape))))
    ),
    "slice": _slice,
    "split": _split,
    "pad": _pad,
    "expand": _expand,
    "dropout": lambda draw, shape: Dropout(rate=draw.one(0.1, 0.5)),
    "mean": lambda draw, shape: Mean(axes=_side_by_side(draw, shape), keep=draw.often()),
    "sum": lambda draw, shape: Sum(axes=_side_by_side(draw, shape), keep=draw.often()),
    "max": lambda draw, shape: Largest(axes=_side_by_side(draw, shape), keep=draw.often()),
    "line": lambda draw, shape: Line(factor=draw.one(-1.0, 0.5), term=1.0),
    "power": lambda draw, shape: Power(exponent=draw.one(2.0, 3.0)),
    **{op.name: (lambda draw, shape, op=op: op()) for op in (*ELEMENTWISE, Abs, Cos, Erf, Sin)},
}
"""Of tensors of any rank, or refused by the layer itself."""
POSITIVE = (Exp, Log, Sqrt, Reciprocal)
"""Drawn behind a sigmoid that a line moves away from zero."""
LEVEL = (Floor, Ceil, Round, Truncate, Sign)
"""Drawn where they do not jump: between 0 and a half."""
JOINED = (
    "add",
    "mul",
    "pointwise",
    "concat",
    "matmul",
    "attention",
    "shared weight",
    "weighted maps",
)


def every_type() -> set[str]:
    """The layer types that are drawn, by their names in network files."""
    plain = {name.partition(",")[0] for name in (*MAPS, *ROWS, *ANY)}
    parts = {
        "attention_scores",
        "attention_context",
        "conv_transpose_phase",
        "phases",
        "split_part",
    }
    joined = {
        "add",
        "mul",
        "concat",
        "matmul",
        "embedding",
        "as_values",
        *(row.name for row in POINTWISE if issubclass(row, Sloped)),
        *(op.name for op in (*POSITIVE, *LEVEL)),
    }
    return (plain | parts | joined) & set(OPS)


@dataclass
class Drawn:
    """A network in the making: `shapes` are those of its tensors."""

    draw: Draw
    inputs: dict[str, Shape]
    specs: list[LayerSpec] = field(default_factory=list)
    inner: dict[str, Shape] = field(default_factory=dict)
    """Tensors between the parts of one layer."""

    def __post_init__(self) -> None:
        self.shapes = dict(self.inputs)

    def put(self, op: Op, *sources: str) -> str | None:
        """The layer's name, or None where it does not fit or is too large."""
        name = f"l{len(self.specs)}"
        parts = [(name, op, sources)]
        before = len(self.specs), dict(self.shapes)
        try:
            if isinstance(op, Composite):
                parts = op.parts(name, sources)
            for part, own, reads in parts:
                self._put(part, own, reads)
            if not isinstance(op, Split):
                for part, _, _ in parts[:-1]:  # theirs alone
                    self.inner[part] = self.shapes.pop(part)
        except ShapeError:
            del self.specs[before[0] :]
            self.shapes = before[1]
            return None
        return parts[-1][0]

    def _put(self, name: str, op: Op, reads: tuple[str, ...]) -> None:
        inputs = tuple(self.shapes.get(each) or self.inner[each] for each in reads)
        shape = op.output_shape(inputs)
        learned = sum(math.prod(each) for each in op.parameter_shapes(inputs).values())
        if math.prod(shape) > MOST_VALUES or len(shape) > 6 or learned > MOST_PARAMETERS:
            raise ShapeError("too large")
        self.specs.append(LayerSpec(name, op, reads))
        self.shapes[name] = shape

    def source(self) -> str:
        """A tensor that layers may compute with: the larger it is the sooner."""
        names = [name for name in self.shapes if name != "numbers"]
        sizes = np.sqrt([math.prod(self.shapes[name]) for name in names])
        return str(self.draw.random.choice(names, p=sizes / sizes.sum()))

    def step(self) -> None:
        """One more layer, or none where what was drawn does not fit."""
        source, draw = self.source(), self.draw
        shape = self.shapes[source]
        if draw.often(0.3):
            self._join(draw.one(*JOINED), source, shape)
        elif draw.often(0.1):
            bounded = self.put(Sigmoid(), source)
            assert bounded is not None
            kind = draw.one(*POSITIVE, *LEVEL)
            factor, term = (0.4, 0.05) if kind in LEVEL else (1.0, 0.5)
            apart = self.put(Line(factor=factor, term=term), bounded)
            assert apart is not None
            self.put(kind(), apart)
        else:
            tables = {3: [MAPS, MAPS, MAPS, ANY], 2: [ROWS, ANY, ANY]}.get(len(shape), [ANY])
            rules = draw.one(*tables)
            op = rules[draw.one(*rules)](draw, shape)
            if isinstance(op, Power):  # of what is bounded: powers of powers leave float32
                source = self.put(Tanh(), source) or source
            self.put(op, source)

    def _join(self, kind: str, source: str, shape: Shape) -> None:
        draw = self.draw
        names = [name for name in self.shapes if name != "numbers"]
        other = str(draw.one(*names))
        if kind == "add":
            alike = [name for name in names if self.shapes[name] == shape]
            others = draw.one(alike, names)
            more = (str(draw.one(*others)) for _ in range(draw.number(1, 2)))
            self.put(Add(activation=draw.activation()), source, *more)
        elif kind == "mul":
            self.put(Mul(activation=draw.activation()), source, other)
        elif kind == "pointwise":
            self._of_several(source, shape)
        elif kind == "concat":
            self.put(Concat(axis=draw.number(0, len(shape) - 1)), source, other, source)
        elif kind == "matmul":
            turned = {"transpose_first": draw.often(), "transpose_second": draw.often()}
            self.put(MatMul(**turned, scale=0.5, activation=draw.activation()), source, other)
        elif kind == "attention" and len(shape) == 2:
            self._attention(source)
        elif kind == "shared weight":
            owners = [s for s in self.specs if type(s.op) in (Conv, Dense) and not s.op.shares]  # type: ignore[attr-defined]
            if owners:
                self._shared(draw.one(*owners), names)
        elif kind == "weighted maps" and len(shape) == 3:
            self._gate(source, shape)

    def _of_several(self, source: str, shape: Shape) -> None:
        """Of operands that broadcast or are numbers; what is raised is above zero, and bounded."""
        draw = self.draw
        row = draw.one(*(row for row in POINTWISE if issubclass(row, Sloped)))
        alike = [
            name
            for name, own in self.shapes.items()
            if name != "numbers" and len(own) == len(shape)
        ]
        numbers = [0.75 if draw.often(0.3) else None for _ in range(row.operands)]
        numbers[draw.number(0, row.operands - 1)] = None
        read = [source, *(str(draw.one(*alike)) for _ in range(numbers.count(None) - 1))]
        if row is ToPower:
            read = [str(self.put(Sigmoid(), each)) for each in read]
            read = [str(self.put(Line(factor=1.0, term=0.5), each)) for each in read]
        self.put(row(numbers=tuple(numbers)), *read)

    def _attention(self, source: str) -> None:
        heads, size, draw = self.draw.one((1, 1), (2, 1), (2, 2), (4, 2)), 2, self.draw
        queries = self.put(Dense(out_features=heads[0] * size), source)
        keys, values = (self.put(Dense(out_features=heads[1] * size), source) for _ in "kv")
        if queries and keys and values:
            op = Attention(heads=heads[0], key_heads=heads[1], causal=draw.often())
            self.put(op, queries, keys, values)

    def _shared(self, owner: LayerSpec, names: list[str]) -> None:
        """A layer, of anything that fits, with another's weight."""
        assert isinstance(owner.op, (Conv, Dense))
        read = {**self.shapes, **self.inner}[owner.inputs[0]]
        wanted = owner.op.weight_shape((read,))
        for name in self.draw.random.permutation(names):
            bias = owner.op.bias and self.draw.often()
            op = replace(owner.op, shares=owner.name, bias=bias, activation=self.draw.activation())
            rank = len(self.shapes[str(name)])
            fits = rank == 3 if isinstance(op, Conv) else rank <= 3
            if fits and op.weight_shape((self.shapes[str(name)],)) == wanted:
                self.put(op, str(name))
                return

    def _gate(self, source: str, shape: Shape) -> None:
        """Squeeze and excitation: one value for each map."""
        mean = self.put(AvgPool(kernel="global"), source)
        assert mean is not None
        gate = self.put(Conv(out_channels=shape[0], kernel=(1, 1), activation="sigmoid"), mean)
        if gate is not None:
            self.put(self.draw.one(Mul(), Add()), source, gate)

    def loose(self) -> list[str]:
        """Tensors that no layer reads."""
        read = {name for spec in self.specs for name in spec.inputs}
        return [spec.name for spec in self.specs if spec.name not in read]

    def finished(self) -> Network:
        """The network, whose loose ends are outputs: the last one's, and some that only training
        has."""
        features, weights = self.draw.number(2, 5), {}
        for number, name in enumerate(self.loose()):
            head = f"head{number}"
            flat = LayerSpec(f"{head}/flat", Flatten(), (name,))
            self.specs += [flat, LayerSpec(head, Dense(out_features=features), (flat.name,))]
            weights[head] = 0.3
        weights.popitem()
        network = build_network("drawn", self.inputs, self.specs)
        return replace(network, loss_weights=weights)


def drawn_network(seed: int, layers: int = 8) -> Network:
    """A network of about so many layers, and heads that end it."""
    draw = Draw(np.random.default_rng(seed))
    maps = (draw.number(1, 4), *draw.pair(3, 8))
    shape = draw.one(maps, maps, maps, draw.pair(2, 6), (2, 3, 2, 2))
    made = Drawn(draw, {"x": shape})
    if draw.often(0.25):
        made.inputs["numbers"] = (draw.number(2, 5),)
        made.shapes["numbers"] = made.inputs["numbers"]
        made.put(Embedding(entries=draw.number(2, 9), features=draw.number(2, 8)), "numbers")
        if draw.often(0.3):
            made.put(AsValues(), "numbers")
    while len(made.specs) < layers:
        made.step()
    return made.finished()


def types_of(network: Network) -> Iterator[str]:
    """The layer types of a network."""
    return (layer.op.name for layer in network.layers)
