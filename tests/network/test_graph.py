"""The graph of layers: order, shapes, totals, and everything that does not fit at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.network.graph import GraphError, LayerSpec, Network, build_network
from accelsim.network.ops import Add, Conv, Dense, Op, Relu, Shape

INPUTS: dict[str, Shape] = {"input": (3, 8, 8)}
CONV = Conv(out_channels=4, kernel=(3, 3))


def spec(name: str, *inputs: str, op: Op | None = None) -> LayerSpec:
    return LayerSpec(name, op or Relu(), inputs)


def built(*specs: LayerSpec) -> Network:
    return build_network("n", INPUTS, specs)


def problems(*specs: LayerSpec) -> tuple[tuple[str, str], ...]:
    with pytest.raises(GraphError) as caught:
        built(*specs)
    return caught.value.problems


def test_shapes_follow_the_graph() -> None:
    network = built(
        spec("a", "input", op=CONV),
        spec("b", "a"),
        spec("c", "a", "b", op=Add()),
        spec("d", "c", op=Dense(out_features=2)),
    )
    assert [layer.output_shape for layer in network.layers] == [(4, 6, 6)] * 3 + [(2,)]
    assert network.by_name["c"].input_shapes == ((4, 6, 6), (4, 6, 6))
    assert network.consumers == {
        "input": ("a",),
        "a": ("b", "c"),
        "b": ("c",),
        "c": ("d",),
        "d": (),
    }
    assert network.outputs == ("d",)
    # 4 filters of 3x3x3 and their biases; 2 neurons of 144 and theirs
    assert network.parameters == 4 * 27 + 4 + 2 * 144 + 2
    assert network.macs == 144 * 27 + 2 * 144
    assert network.by_name["a"].output_elements == 144


def test_a_layer_that_reads_a_tensor_twice_consumes_it_once() -> None:
    network = built(spec("twice", "input", "input", op=Add()))
    assert network.consumers["input"] == ("twice",)


def test_the_given_order_stays_where_it_can_run() -> None:
    network = built(spec("c", "b"), spec("x", "input"), spec("b", "a"), spec("a", "input"))
    order = [layer.name for layer in network.layers]
    assert sorted(order) == ["a", "b", "c", "x"]
    assert order.index("a") < order.index("b") < order.index("c")
    straight = built(spec("a", "input"), spec("x", "input"), spec("b", "a"))
    assert [layer.name for layer in straight.layers] == ["a", "x", "b"]


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        (
            [spec("a", "inptu"), spec("b", "zzz")],
            [
                ("a", "unknown input 'inptu'; did you mean 'input'?"),
                ("b", "unknown input 'zzz'"),
            ],
        ),
        (
            [spec("a", "input"), spec("a", "input"), spec("input", "a")],
            [
                ("a", "this name is taken already; give each layer its own"),
                ("input", "this name is taken already; give each layer its own"),
            ],
        ),
        ([spec("a", "a")], [("a", "lies on a cycle through 'a'; let it read another layer")]),
        (  # d is behind the cycle, not on it
            [spec("a", "c"), spec("b", "a"), spec("c", "b"), spec("d", "c")],
            [
                ("a", "lies on a cycle through 'c'; let it read another layer"),
                ("b", "lies on a cycle through 'a'; let it read another layer"),
                ("c", "lies on a cycle through 'b'; let it read another layer"),
            ],
        ),
        (  # b is behind a misfit and not told again; c is a misfit of its own
            [
                spec("a", "input", op=Conv(out_channels=1, kernel=(9, 1))),
                spec("b", "a"),
                spec("c", "input", op=Add()),
            ],
            [
                (
                    "a",
                    "the 9x1 kernel does not fit the padded input of 8x8; "
                    "use a smaller kernel or dilation, or more padding",
                ),
                ("c", "takes two or more inputs, found 1"),
            ],
        ),
        (  # one of each kind
            [spec("a", "none"), spec("b", "b"), spec("c", "input", op=Add())],
            [
                ("a", "unknown input 'none'"),
                ("b", "lies on a cycle through 'b'; let it read another layer"),
                ("c", "takes two or more inputs, found 1"),
            ],
        ),
    ],
)
def test_everything_that_does_not_fit(
    specs: list[LayerSpec], expected: list[tuple[str, str]]
) -> None:
    assert problems(*specs) == tuple(expected)


@st.composite
def shuffled(draw: st.DrawFn) -> list[LayerSpec]:
    """Up to nine layers that read one or two before them, in any order."""
    names = ["input"]
    specs = []
    for number in range(draw(st.integers(1, 9))):
        sources = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2))
        specs.append(spec(f"l{number}", *sources, op=Relu() if len(sources) == 1 else Add()))
        names.append(f"l{number}")
    return draw(st.permutations(specs))


@given(shuffled())
def test_layers_are_taken_in_rounds_of_reading_them_all(specs: list[LayerSpec]) -> None:
    done = {"input"}
    taken: list[str] = []
    while len(taken) < len(specs):
        for each in specs:
            if each.name not in done and done.issuperset(each.inputs):
                done.add(each.name)
                taken.append(each.name)
    assert [layer.name for layer in built(*specs).layers] == taken
