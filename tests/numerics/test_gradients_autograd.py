"""Gradients against an independent automatic differentiation: HIPS autograd, in float64."""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
import pytest
from drawing import drawn
from drawn_networks import MAPS, Draw
from hypothesis import given
from hypothesis import strategies as st
from test_gradients import Trained

from accelsim.network.graph import GraphError, LayerSpec, Network, build_network
from accelsim.network.ops import (
    Attention,
    AvgPool,
    BatchNorm,
    CombinedConv,
    Composite,
    Concat,
    Conv,
    ConvTranspose,
    Dense,
    Flatten,
    GroupNorm,
    LayerNorm,
    MaxPool,
    Mean,
    Mul,
    Resize,
    RmsNorm,
    Shape,
    Softmax,
    Split,
    SubSampling,
)

autograd = pytest.importorskip("autograd")
anp = pytest.importorskip("autograd.numpy")
Values = dict[str, Any]


def conv(x: Any, weight: Any, bias: Any, stride: int) -> Any:
    """As a sum over taps, of maps without padding."""
    r, s = weight.shape[2:]
    rows, cols = ((n - k) // stride + 1 for n, k in zip(x.shape[2:], (r, s), strict=True))
    taps = (
        anp.einsum(
            "nchw,kc->nkhw",
            x[:, :, i : i + stride * rows : stride, j : j + stride * cols : stride],
            weight[:, :, i, j],
        )
        for i in range(r)
        for j in range(s)
    )
    return sum(taps) + bias[None, :, None, None]


def normal(x: Any, axes: tuple[int, ...], epsilon: float, centred: bool = True) -> Any:
    mean = anp.mean(x, axes, keepdims=True) if centred else 0.0
    return (x - mean) / anp.sqrt(anp.mean((x - mean) ** 2, axes, keepdims=True) + epsilon)


def images() -> Network:
    specs = [
        LayerSpec("a", Conv(out_channels=4, kernel=(3, 2), stride=(2, 2)), ("x",)),
        LayerSpec("b", BatchNorm(epsilon=0.1, activation="tanh"), ("a",)),
        LayerSpec("m", MaxPool(kernel=(2, 2), stride=(1, 1)), ("b",)),
        LayerSpec("g", GroupNorm(groups=2, epsilon=0.1), ("m",)),
        LayerSpec("r", Resize(size=(6, 6)), ("g",)),
        LayerSpec("p", AvgPool(kernel=(2, 2)), ("r",)),
        LayerSpec("u", Mean(axes=(1,), keep=True), ("p",)),
        LayerSpec("t", Mul(), ("p", "u")),
        LayerSpec("f", Flatten(), ("t",)),
        LayerSpec("y", Dense(out_features=5, activation="sigmoid"), ("f",)),
    ]
    return build_network("images", {"x": (3, 9, 8)}, specs)


def of_images(v: Values) -> Any:
    a = conv(v["x"], v["a.weight"], v["a.bias"], 2)
    b = normal(a, (0, 2, 3), 0.1)
    b = anp.tanh(b * v["b.gamma"][:, None, None] + v["b.beta"][:, None, None])
    m = anp.maximum(
        anp.maximum(b[:, :, 1:, 1:], b[:, :, :-1, 1:]),
        anp.maximum(b[:, :, 1:, :-1], b[:, :, :-1, :-1]),
    )
    apart = anp.reshape(m, (len(m), 2, -1))
    g = anp.reshape(normal(apart, (2,), 0.1), m.shape)
    g = g * v["g.gamma"][:, None, None] + v["g.beta"][:, None, None]
    r = anp.repeat(anp.repeat(g, 2, 2), 2, 3)
    p = (r[:, :, ::2, ::2] + r[:, :, 1::2, ::2] + r[:, :, ::2, 1::2] + r[:, :, 1::2, 1::2]) / 4
    t = p * anp.mean(p, 2, keepdims=True)
    f = anp.reshape(t, (len(t), -1))
    return 1 / (1 + anp.exp(-(f @ v["y.weight"].T + v["y.bias"])))


def combined() -> Network:
    """Bouvrie's learned combination of maps, then its sub-sampling."""
    combination = CombinedConv(
        in_channels=3, out_channels=4, kernel=(3, 2), activation="scaled_tanh", penalty=0.3
    )
    specs = [
        LayerSpec("first", Conv(out_channels=3, kernel=(1, 1)), ("x",)),
        *(LayerSpec(*part) for part in combination.parts("c", ("first",))),
        LayerSpec("s", SubSampling(kernel=(2, 2)), ("c/mixed",)),
    ]
    return build_network("combined", {"x": (2, 6, 5)}, specs)


def of_combined(v: Values) -> Any:
    x = conv(v["x"], v["first.weight"], v["first.bias"], 1)
    maps = [conv(x[:, i : i + 1], v["c/maps.weight"][i : i + 1], np.zeros(1), 1) for i in range(3)]
    alpha = anp.exp(v["c/mixed.c"]) / anp.sum(anp.exp(v["c/mixed.c"]), 1, keepdims=True)
    mixed = conv(anp.concatenate(maps, 1), alpha[..., None, None], v["c/mixed.bias"], 1)
    y = 1.7159 * anp.tanh(mixed * 2 / 3)
    down = sum(y[:, :, r::2, s::2] for r in (0, 1) for s in (0, 1))
    return v["s.beta"][:, None, None] * down + v["s.offset"][:, None, None]


def tokens() -> Network:
    mixed = Attention(heads=2, causal=True).parts("mixed", ("q", "k", "v"))
    specs = [
        LayerSpec("n", LayerNorm(epsilon=0.1), ("x",)),
        *(LayerSpec(name, Dense(out_features=6), ("n",)) for name in "qkv"),
        *(LayerSpec(*part) for part in mixed),
        LayerSpec("z", RmsNorm(epsilon=0.1), ("mixed/context",)),
        LayerSpec("f", Mean(axes=(0,)), ("z",)),
        LayerSpec("y", Dense(out_features=5), ("f",)),
        LayerSpec("s", Softmax(), ("y",)),
    ]
    return build_network("tokens", {"x": (4, 7)}, specs)


def of_tokens(v: Values) -> Any:
    n = normal(v["x"], (2,), 0.1) * v["n.gamma"] + v["n.beta"]
    heads = {
        name: anp.transpose(
            anp.reshape(n @ v[f"{name}.weight"].T + v[f"{name}.bias"], (2, 4, 2, 3)), (0, 2, 1, 3)
        )
        for name in "qkv"
    }
    scores = heads["q"] @ anp.swapaxes(heads["k"], 2, 3) / np.sqrt(3)
    seen = np.tril(np.ones((4, 4)))
    shares = anp.exp(scores) * seen
    shares = shares / anp.sum(shares, -1, keepdims=True)
    context = anp.reshape(anp.transpose(shares @ heads["v"], (0, 2, 1, 3)), (2, 4, 6))
    z = normal(context, (2,), 0.1, centred=False) * v["z.gamma"]
    y = anp.mean(z, 1) @ v["y.weight"].T + v["y.bias"]
    return anp.exp(y) / anp.sum(anp.exp(y), 1, keepdims=True)


@pytest.mark.parametrize(
    ("network", "forward"),
    [(images, of_images), (combined, of_combined), (tokens, of_tokens)],
    ids=["images", "combined", "tokens"],
)
def test_gradients_are_those_of_autograd(
    network: Callable[[], Network], forward: Callable[[Values], Any]
) -> None:
    trained = Trained.of(network())
    fixed = {name: trained.given[name] for name in trained.step.inputs}

    def loss(learned: Values) -> Any:
        return anp.sum((forward({**fixed, **learned}) - fixed["target"]) ** 2) / 2

    wanted = autograd.grad(loss)(dict(trained.learned()))
    found = trained.gradients()
    assert set(found) == set(wanted)
    for name, gradient in found.items():
        np.testing.assert_allclose(gradient, wanted[name], rtol=1e-9, atol=1e-11, err_msg=name)


# --- Drawn ----------------------------------------------------------------------------------------


def around(x: Any, sides: tuple[int, ...], value: float = 0.0) -> Any:
    """`x` (N, C, H, W) with `value` above, below, left and right of it."""
    for axis, (before, after) in ((2, sides[:2]), (3, sides[2:])):
        shapes = (
            [many if at == axis else size for at, size in enumerate(x.shape)]
            for many in (before, after)
        )
        above, below = (np.full(shape, value) for shape in shapes)
        x = anp.concatenate([above, x, below], axis)
    return x


def taps_of(x: Any, op: Any, apart: tuple[int, int] = (1, 1)) -> list[Any]:
    """Of a map with its padding, for each tap the values of all windows."""
    rows, cols = (
        (size - (k - 1) * far - 1) // stride + 1
        for size, k, far, stride in zip(x.shape[2:], op.kernel, apart, op.stride, strict=True)
    )
    down, across = op.stride
    return [
        x[:, :, r * apart[0] :: down, s * apart[1] :: across][:, :, :rows, :cols]
        for r, s in np.ndindex(*op.kernel)
    ]


def convolved(taps: list[Any], weight: Any, groups: int) -> Any:
    """The sum over taps, group by group."""
    flat = anp.reshape(weight, (*weight.shape[:2], -1))
    inside, own = weight.shape[1], len(weight) // groups
    parts = [
        sum(
            anp.einsum(
                "nchw,kc->nkhw",
                tap[:, g * inside : (g + 1) * inside],
                flat[g * own : (g + 1) * own, :, at],
            )
            for at, tap in enumerate(taps)
        )
        for g in range(groups)
    ]
    return anp.concatenate(parts, 1)


def spread(x: Any, axis: int, step: int) -> Any:
    """Zeros between the values along an axis."""
    zeros = np.zeros((*x.shape, step - 1))
    apart = anp.concatenate([x[..., None], zeros], -1)
    order = [*range(axis + 1), 4, *range(axis + 1, 4)]
    shape = [size * step if at == axis else size for at, size in enumerate(x.shape)]
    whole = anp.reshape(anp.transpose(apart, order), shape)
    return whole[:, :, : shape[2] - step + 1] if axis == 2 else whole[..., : shape[3] - step + 1]


def truth(op: Any, x: Any, v: Values, name: str) -> Any:
    """A layer's ofmap as its definition has it."""
    match op:
        case Conv():
            sides = tuple(n for each in op.windows(x.shape[1:]) for n in (each.before, each.after))
            taps = taps_of(around(x, sides), op, op.dilation)
            y = convolved(taps, v[f"{name}.weight"], op.groups)
        case ConvTranspose():
            name = f"{name}/0_0"
            (top, bottom, left, right), more = op.padding, op.output_padding
            reach = [(k - 1) * each for k, each in zip(op.kernel, op.dilation, strict=True)]
            around_all = [side for k, n in zip(reach, more, strict=True) for side in (k, k + n)]
            apart = spread(spread(x, 2, op.stride[0]), 3, op.stride[1])
            taps = taps_of(around(apart, around_all), replace(op, stride=(1, 1)), op.dilation)
            y = convolved(taps, v[f"{name}.weight"][:, :, ::-1, ::-1], op.groups)
            y = y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right]
        case AvgPool():
            return sum(taps_of(around(x, op.padding), op)) / (op.kernel[0] * op.kernel[1])
        case MaxPool():
            return reduce(anp.maximum, taps_of(around(x, op.padding, -1e9), op))
        case Split():
            first = op.sizes[0]
            return anp.concatenate([x[:, first:], x[:, :first]], 1)
    if op.bias:
        y = y + v[f"{name}.bias"][:, None, None]
    return anp.tanh(y) if op.activation else y


def drawn_op(draw: Draw, shape: Shape) -> Any:
    """A layer of feature maps whose definition `truth` has."""
    windows = draw.windows()
    if draw.often(0.2):
        return MaxPool(**windows) if draw.often() else AvgPool(**windows, count_padding=True)
    if shape[0] > 1 and draw.often(0.2):
        first = draw.number(1, shape[0] - 1)
        return Split(sizes=(first, shape[0] - first))
    op = MAPS[draw.one("conv", "conv_transpose")](draw, shape)
    return replace(op, activation=draw.one(None, "tanh"))  # type: ignore[call-arg]


@given(st.integers(0, 2**32 - 1))
@drawn(60, 10)
def test_gradients_of_drawn_maps_are_those_of_autograd(seed: int) -> None:
    """Convolutions of both kinds and both forms of their gradients, pools and splits in a row."""
    draw = Draw(np.random.default_rng(seed))
    shape = (draw.number(1, 4), draw.number(4, 8), draw.number(4, 8))
    first = Conv(out_channels=3, kernel=(1, 1))
    specs, steps = [LayerSpec("l0", first, ("x",))], [("l0", first)]
    last, now = "l0", (3, *shape[1:])
    for number in range(1, draw.number(2, 6)):
        name, op = f"l{number}", drawn_op(draw, now)
        parts = op.parts(name, (last,)) if isinstance(op, Composite) else [(name, op, (last,))]
        if isinstance(op, Split):
            parts.append((name, Concat(), (f"{name}/1", f"{name}/0")))
        more = [LayerSpec(*part) for part in parts]
        try:
            made = build_network("drawn", {"x": shape}, [*specs, *more])
        except GraphError:
            continue
        specs, last, now = [*specs, *more], parts[-1][0], made.layers[-1].output_shape
        steps.append((name, op))
        if np.prod(now) > 2000:
            break
    trained = Trained.of(build_network("drawn", {"x": shape}, specs), seed=seed)
    fixed = {name: trained.given[name] for name in trained.step.inputs}

    def loss(learned: Values) -> Any:
        v, value = {**fixed, **learned}, fixed["x"]
        for name, op in steps:
            value = truth(op, value, v, name)
        return anp.sum((value - fixed["target"]) ** 2) / 2

    wanted, found = autograd.grad(loss)(dict(trained.learned())), trained.gradients()
    assert set(found) == set(wanted)
    size = max(float(np.abs(each).max()) for each in wanted.values())
    for name, gradient in found.items():
        np.testing.assert_allclose(
            gradient, wanted[name], rtol=1e-9, atol=1e-11 * max(size, 1.0), err_msg=name
        )
