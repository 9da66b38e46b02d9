"""Padding, resizing, transposed and unshared convolutions: tiles, reference and float64."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from drawing import drawn
from hypothesis import assume, given
from hypothesis import strategies as st
from layers import FLOAT32, INT8, ofmap_of, step_of
from test_tiled import FLOAT, UINT8, hardware, single, verified

from accelsim.errors import ShapeError
from accelsim.lowering.lower import lower
from accelsim.network.graph import GraphError, LayerSpec, Network, build_network
from accelsim.network.ops import ConvTranspose, Local, Op, Pad, Phase, Phases, Resize, Shape
from accelsim.numerics.formats import Array, Quantization, Tensor
from accelsim.numerics.parameters import Parameters
from accelsim.numerics.reference import compute, reference

FMAP = (6, 9, 7)


def transposed(op: ConvTranspose, shape: Shape) -> Network:
    specs = [LayerSpec(name, part, inputs) for name, part, inputs in op.parts("up", ("x",))]
    return build_network("up", {"x": shape}, specs)


NETWORKS = {
    "pad": single(Pad(before=(0, 1, 2), after=(1, 0, 3), value=2.0), FMAP),
    "pad, mirrored": single(Pad(before=(0, 1, 2), after=(1, 0, 3), mode="reflect"), FMAP),
    "pad, edge": single(Pad(before=(3,), after=(40,), mode="edge"), (300,)),
    "pad, between": single(Pad(before=(1, 0, 2), after=(0, 1, 1), between=(0, 2, 1)), FMAP),
    "nearest": single(Resize(size=(18, 14)), FMAP),
    "bilinear": single(Resize(size=(18, 13), mode="bilinear"), FMAP),
    "smaller": single(
        Resize(size=(5, 20), mode="bilinear", coordinates="align_corners"), (6, 9, 30)
    ),
    "local": single(
        Local(out_channels=5, kernel=(3, 2), stride=(2, 1), padding=(1, 1, 0, 1)), FMAP
    ),
    "transposed": transposed(
        ConvTranspose(
            out_channels=5,
            kernel=(3, 4),
            stride=(2, 3),
            padding=(1, 0, 2, 1),
            output_padding=(1, 1),
        ),
        FMAP,
    ),
    "transposed, stride 1": transposed(
        ConvTranspose(out_channels=5, kernel=(3, 4), padding=(1, 0, 2, 1), activation="relu"), FMAP
    ),
    "transposed, zeros inserted": transposed(
        ConvTranspose(
            out_channels=5,
            kernel=(3, 4),
            stride=(2, 3),
            padding=(1, 0, 2, 1),
            output_padding=(1, 1),
            form="zero_inserted",
            activation="relu",
        ),
        FMAP,
    ),
    "transposed, dilated": transposed(
        ConvTranspose(
            out_channels=5, kernel=(3, 2), stride=(2, 2), dilation=(3, 1), padding=(2, 0, 1, 2)
        ),
        FMAP,
    ),
    "transposed, grouped": transposed(
        ConvTranspose(out_channels=6, kernel=(4, 4), stride=(2, 2), groups=3, bias=False), FMAP
    ),
}


def on_machines() -> Iterator[Any]:
    """Every network on every machine; plainly, the largest searches of row stationary left out."""
    for flow, *settings in (("ws", "array.count=3"), ("rs", *UINT8), ("os", *FLOAT)):
        for name, network in NETWORKS.items():
            long = flow == "rs" and name in ("transposed", "transposed, dilated")
            marks = pytest.mark.slow if long else ()
            yield pytest.param(network, (flow, *settings), marks=marks, id=f"{name}-{flow}")


@pytest.mark.parametrize(("network", "machine"), [*on_machines()])
def test_tiles_equal_the_reference(network: Network, machine: tuple[str, ...]) -> None:
    program = lower(network, hardware(*machine), 2)
    for result in verified(program):
        assert (result.mismatches, result.problems) == (0, ())
        assert result.spread.least < result.spread.most
    assert program.layers[0].tiles > 1


def scattered(op: ConvTranspose, x: Array, weight: Array, bias: Array | None) -> Array:
    """What every value of the ifmap adds to the ofmap, float64."""
    groups, (down, across), (tall, wide) = op.groups, op.stride, op.dilation
    _, height, width = op.whole(x.shape[1:])
    top, left = op.padding[0], op.padding[2]
    room = np.zeros((len(x), op.out_channels, height + 99, width + 99))
    own = op.out_channels // groups
    inside = x.shape[1] // groups
    for g in range(groups):
        part = x[:, g * inside : (g + 1) * inside]
        for (i, j), (r, s) in product(np.ndindex(x.shape[2:]), np.ndindex(op.kernel)):
            added = part[:, :, i, j] @ weight[g * own : (g + 1) * own, :, r, s].T
            room[:, g * own : (g + 1) * own, i * down + r * tall, j * across + s * wide] += added
    cut = room[:, :, top : top + height, left : left + width]
    return cut if bias is None else cut + bias[:, None, None]


@st.composite
def drawn_transposed(draw: st.DrawFn) -> tuple[ConvTranspose, Shape]:
    stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    sides = tuple(draw(st.integers(0, 3)) for _ in "abcd")
    groups = draw(st.integers(1, 2))
    dilation = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    op = ConvTranspose(
        out_channels=groups * draw(st.integers(1, 4)),
        kernel=kernel,
        stride=stride,
        padding=(sides[0], sides[1], sides[2], sides[3]),
        output_padding=(draw(st.integers(0, stride[0] - 1)), draw(st.integers(0, stride[1] - 1))),
        groups=groups,
        dilation=dilation,
        bias=draw(st.booleans()),
    )
    size = st.integers(1, 7)
    shape = groups * draw(st.integers(1, 3)), draw(size), draw(size)
    made = (
        (n - 1) * step + (size - 1) * apart + 1 + more - sum(cut)
        for n, step, size, apart, more, cut in zip(
            *(shape[1:], stride, kernel, dilation, op.output_padding, (sides[:2], sides[2:])),
            strict=True,
        )
    )
    assume(all(size > 0 for size in made))
    return op, shape


@given(drawn_transposed())
@drawn(100, 15)
def test_phases_add_up_to_what_values_scatter(case: tuple[ConvTranspose, Shape]) -> None:
    op, shape = case
    network = transposed(op, shape)
    assert network.layers[-1].output_shape == op.whole(shape)
    parameters = Parameters.of(network, FLOAT32)
    steps = list(reference(network, FLOAT32, parameters, 2))
    own = steps[0][0].parameters.arrays
    x = parameters.input("x", shape, 2).values
    truth = scattered(op, x.astype(np.float64), own["weight"], own.get("bias"))
    assert np.abs(steps[-1][1].values - truth).max() < 1e-5
    near = [
        max(Counter(tap * apart % step for tap in range(size)).values())
        for size, step, apart in zip(op.kernel, op.stride, op.dilation, strict=True)
    ]
    terms = shape[0] // op.groups * near[0] * near[1]  # none with an inserted zero
    assert network.macs <= np.prod(op.whole(shape)) * terms
    for check in verified(lower(network, hardware("ws"), 2)):
        assert (check.mismatches, check.problems) == (0, ())


def counted(op: ConvTranspose, shape: Shape) -> tuple[int, int]:
    """MACs of a value of the ifmap and of an inserted zero, tap by tap; padding counts as values.

    A place of padding is one of a value where a value would lie there, were there more of them.
    """
    channels, height, width = op.whole(shape)
    (down, across), (top, left), (tall, wide) = op.stride, op.padding[::2], op.dilation
    found = [0, 0]
    for (y, x), (r, s) in product(np.ndindex(height, width), np.ndindex(op.kernel)):
        found[bool((y + top - r * tall) % down or (x + left - s * wide) % across)] += 1
    terms = channels * shape[0] // op.groups
    return found[0] * terms, found[1] * terms


@given(drawn_transposed())
@drawn(100, 4)
def test_both_forms_of_a_transposed_convolution_are_one(case: tuple[ConvTranspose, Shape]) -> None:
    """The same integers from the same weights, whose names are the same; the same useful MACs."""
    op, shape = case
    phases, zeros = (
        transposed(replace(op, form=form), shape) for form in ("phases", "zero_inserted")
    )
    learned = [
        {(layer.name, *layer.parameter_shapes.items()) for layer in form.layers if layer.parameters}
        for form in (phases, zeros)
    ]
    assert learned[0] == learned[1]
    ofmaps = [
        [*reference(form, INT8, Parameters.of(form, INT8), 2)][-1][1].values
        for form in (phases, zeros)
    ]
    assert np.array_equal(*ofmaps)
    assert (phases.macs, phases.zero_macs) == (counted(op, shape)[0], 0)
    assert (zeros.macs, zeros.zero_macs) == counted(op, shape)
    for machine in (("ws", *UINT8), ("os",)):
        for check in verified(lower(zeros, hardware(*machine), 2)):
            assert (check.mismatches, check.problems) == (0, ())


def test_unshared_filters_by_hand() -> None:
    """Two places, a filter of two taps each: 1*1 + 2*10 and 2*2 + 3*3, then their biases."""
    x = Tensor(np.int8([[[[1, 2, 3]]]]))
    arrays = {"weight": np.int8([1, 10, 2, 3]).reshape(1, 1, 2, 1, 1, 2)}
    arrays["bias"] = np.int32([[[100, -1]]])
    op = Local(out_channels=1, kernel=(1, 2))
    assert ofmap_of(op, x, arrays=arrays).tolist() == [[[[121, 12]]]]


def test_unshared_filters_have_parameters_at_every_place() -> None:
    (layer,) = single(Local(out_channels=1, kernel=(3, 3), bias=False), (1, 6, 6)).layers
    assert (layer.parameters, layer.macs) == (144, 144)  # 36 pixels to 16 neurons of 9


def test_padding_is_what_its_value_stands_for() -> None:
    x = Tensor(np.int8([[5, 6]]), Quantization(0.5, 1))
    op = Pad(before=(1,), after=(2,), value=1.5)
    work = step_of(op, x, output=Quantization(0.5, 1))
    assert compute(work).values.tolist() == [[4, 5, 6, 4, 4]]
    apart = step_of(replace(op, between=(2,)), x, output=Quantization(0.5, 1))
    assert compute(apart).values.tolist() == [[4, 5, 4, 4, 6, 4, 4]]


def test_resizing_by_hand() -> None:
    x = Tensor(np.float32([[[[0, 4]]]]))
    near = ofmap_of(Resize(size=(1, 4)), x, arithmetic=FLOAT32)
    assert near.tolist() == [[[[0, 0, 4, 4]]]]
    wide = ofmap_of(Resize(size=(1, 4), mode="bilinear"), x, arithmetic=FLOAT32)
    assert wide.tolist() == [[[[0, 1, 3, 4]]]]  # half pixels: at -0.25, 0.25, 0.75, 1.25
    op = Resize(size=(1, 3), mode="bilinear", coordinates="align_corners")
    assert ofmap_of(op, x, arithmetic=FLOAT32).tolist() == [[[[0, 2, 4]]]]


@pytest.mark.parametrize(
    ("op", "shapes", "message"),
    [
        (Pad(before=(1,), after=(1,)), ((3, 4),), "a number for each axis"),
        (
            Pad(before=(4,), after=(0,), mode="reflect"),
            ((4,),),
            "4 .* axis 0 of .* give 3 or fewer",
        ),
        (Pad(before=(0,), after=(0,), between=(1, 1)), ((4,),), "between need a number for each"),
        (Pad(before=(0,), after=(0,), between=(1,), mode="edge"), ((4,),), "only a constant"),
        (Phase(out_channels=1, kernel=(2, 2), stride=(2, 2), apart=(2, 2)), (FMAP,), "stride of 1"),
        (Phases(stride=(1, 2)), ((2, 3, 4),), "takes 2 inputs, found 1"),
        (Phases(stride=(1, 2)), ((2, 3, 4), (2, 3, 5)), "the phase at 0, 0 has shape"),
    ],
)
def test_misfits_are_refused(op: Op, shapes: tuple[Shape, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        op.output_shape(shapes)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"kernel": (2, 2), "padding": (5, 5, 0, 0)}, "padding of 10 leaves nothing of the ofmap"),
        ({"kernel": (2, 2), "output_padding": (1, 0)}, "output_padding 1 is not less than"),
        ({"kernel": (2, 2), "groups": 4}, "6 channels to 8 .* 4 groups; groups must divide 2$"),
    ],
)
def test_transposed_convolutions_that_cannot_be_are_refused(
    keys: dict[str, object], message: str
) -> None:
    op = ConvTranspose(out_channels=8, **keys)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=message):
        op.whole(FMAP)


def test_strides_of_too_many_phases_are_refused_where_each_is_a_layer() -> None:
    op = ConvTranspose(out_channels=1, kernel=(99, 99), stride=(33, 33))
    with pytest.raises(ShapeError, match=r"more than 1,024 phases.*form: zero_inserted"):
        op.parts("up", ("x",))
    assert len(transposed(replace(op, form="zero_inserted"), (1, 2, 2)).layers) == 2


def test_a_phase_that_no_tap_reaches_is_written_and_nothing_else() -> None:
    """A kernel of 2 with a stride of 3: a row and a column of each 3 x 3 places are the bias."""
    op = ConvTranspose(out_channels=4, kernel=(2, 2), stride=(3, 3), output_padding=(1, 1))
    network = transposed(op, (2, 5, 5))
    program = lower(network, hardware("ws"), 2)
    by_name = {layer.layer.name: layer for layer in program.layers}
    empty = [by_name[f"up/{at}"] for at in ("0_2", "1_2", "2_0", "2_1", "2_2")]
    assert [(each.layer.macs, each.dram.read_bytes) for each in empty] == [(0, 0)] * 5
    assert [each.dram.write_bytes for each in empty] == [4 * 5 * 5 * 2] * 5
    assert network.macs == 2 * 4 * 4 * 5 * 5
    checks = {check.name: check for check in verified(program)}
    assert {name for name, check in checks.items() if check.spread is None} == {
        each.layer.name for each in empty
    }


def test_an_ofmap_that_is_smaller_than_the_stride_has_fewer_phases() -> None:
    network = transposed(ConvTranspose(out_channels=2, kernel=(1, 2), stride=(4, 2)), (3, 1, 3))
    names = [layer.name for layer in network.layers]
    assert names == ["up/0_0", "up/0_1", "up/whole"]
    assert network.layers[-1].op == Phases(stride=(1, 2))
    specs = [LayerSpec(layer.name, layer.op, layer.inputs) for layer in network.layers]
    phase = Phase(out_channels=2, kernel=(1, 2), stride=(4, 2), at=(3, 0), owner="up/0_0")
    specs += [LayerSpec("last", phase, ("x",)), LayerSpec("reads", Resize(size=(2, 2)), ("last",))]
    behind = "last: begins behind.*reads: reads 'last', a phase that begins behind the ofmap's end"
    with pytest.raises(GraphError, match=f"(?s){behind}"):
        build_network("up", {"x": (3, 1, 3)}, specs)
