"""The network as it is drawn: rows, places and boxes."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from results_by_hand import LAYER, VIEW, layer, run
from test_page import Reader, page_of

from accelsim.report.page.graph import MOST_BOXES, boxes
from accelsim.report.page.layout import layered
from accelsim.report.page.recorded import LayerRecord, recorded


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, tuple[str, ...]]:
    """Nodes that read some of those before them."""
    count = draw(st.integers(1, 14))
    few = [draw(st.sets(st.integers(0, i - 1), max_size=3)) if i else set() for i in range(count)]
    return {f"n{i}": tuple(f"n{j}" for j in sorted(read)) for i, read in enumerate(few)}


@given(graphs())
def test_edges_go_down_row_by_row_and_boxes_lie_apart(sources: dict[str, tuple[str, ...]]) -> None:
    layout = layered(sources)
    assert layout.places.keys() == sources.keys()
    ends = Counter((route[0], route[-1]) for route in layout.routes)
    wanted = (
        (layout.places[source], layout.places[node])
        for node, read in sources.items()
        for source in read
    )
    assert ends == Counter(wanted)
    for route in layout.routes:
        assert all(lower == upper + 1 for (_, upper), (_, lower) in pairwise(route))
    for row in range(layout.rows):
        across = sorted(x for x, here in layout.places.values() if here == row)
        assert across[0] >= 0.49
        assert all(right - left >= 0.99 for left, right in pairwise(across))
    assert all(0 <= x <= layout.width for route in layout.routes for x, _ in route)
    assert layered(sources) == layout


def test_a_chain_is_straight() -> None:
    layout = layered({"a": (), "b": ("a",), "c": ("b",)})
    assert [*layout.places.values()] == [(0.5, 0), (0.5, 1), (0.5, 2)]
    assert (layout.width, layout.rows) == (1.0, 3)


def records(*layers: object) -> list[LayerRecord]:
    return recorded(run("ws", *layers).as_dict(), "a run").layers


def test_a_view_is_what_it_shows_and_a_meeting_is_drawn() -> None:
    one, two = (replace(LAYER, name=name, inputs=("data",)) for name in "ab")
    flat = replace(VIEW, name="flat", inputs=("a",))
    both = replace(VIEW, name="both", op="concat", inputs=("flat", "b"))
    last = replace(LAYER, name="last", inputs=("both",))
    shown = boxes(records(one, two, flat, both, last))
    assert {each.name: each.inputs for each in shown} == {
        "a": (),
        "b": (),
        "both": ("a", "b"),
        "last": ("both",),
    }


@pytest.mark.parametrize("name", ["block{i}/conv{j}", "layer{i}_{j}"])
def test_many_layers_are_drawn_together(name: str) -> None:
    names = [name.format(i=i, j=j) for i in range(100) for j in range(5)]
    before = ["data", *names]
    layers = [
        layer(10, name=each, inputs=(source,)) for each, source in zip(names, before, strict=False)
    ]
    shown = boxes(records(*layers))
    assert 100 <= len(shown) <= MOST_BOXES
    assert sum(each.cycles for each in shown) == 5000
    assert [each.inputs for each in shown[1:]] == [(each.name,) for each in shown[:-1]]


def test_what_a_layer_waits_for_others_is_no_share_of_its_own() -> None:
    """100 of 160 cycles are own, beside another layer's 100: half and half."""
    waits = replace(LAYER.buckets, other_layer=60)
    first = replace(LAYER, name="first", inputs=("data",), end_cycle=160, buckets=waits)
    second = replace(LAYER, name="second", inputs=("first",))
    said = "".join(Reader(page_of(run("ws", first, second))).text)
    assert "first: conv, 100 own cycles, 50.0 %" in said
    assert "other layer, 3" not in said, "a wait for another layer is no loss"


def test_shares_are_in_the_picture_and_its_table() -> None:
    first = layer(300, name="first", inputs=("data",))
    read = Reader(page_of(run("ws", first, layer(100, name="second", inputs=("first",)))))
    said = "".join(read.text)
    assert "first: conv, 300 own cycles, 75.0 %" in said
    filled = [float(each["width"] or 0) for each in read.of("rect", "a0")[:2]]
    assert filled == [130.0, pytest.approx(130 / 3, abs=0.1)]
    marks = [each["data-l"] for each in (*read.of("g"), *read.of("tr")) if "data-l" in each]
    assert marks == ["0", "1", "0", "1"]
