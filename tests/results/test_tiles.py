"""What a page draws of a run, tile by tile: it is all that the run says, and nothing twice."""

from itertools import pairwise
from typing import Any

import pytest

import accelsim
from accelsim.results import tiles as recorded
from accelsim.results.tiles import Slice, Tiles


def unpacked(track: dict[str, Any]) -> list[Slice]:
    """The slices of a track, as the page's script makes them of the short form."""
    end = layer = tile = 0
    found = []
    for place in track["order"]:
        gap, cycles, further, number, what, amount = track["words"][place]
        tile = number + (0 if further else tile)
        layer += further
        found.append(Slice(end + gap, cycles, layer, tile, what, amount))
        end += gap + cycles
    return found


def tiles_of(network: str, *settings: str, batch: int = 1) -> tuple[accelsim.RunResult, Tiles]:
    result = accelsim.simulate(network, "edge_ws", batch=batch, set=settings, tiles=True)
    assert result.tiles is not None
    return result, result.tiles


@pytest.mark.parametrize(
    ("settings", "batch"),
    [((), 1), (("array.count=2",), 3), (("batch_split=2",), 3), (("array.dataflow=best",), 1)],
)
def test_slices_are_all_that_the_run_says(settings: tuple[str, ...], batch: int) -> None:
    result, tiles = tiles_of("lenet5", *settings, batch=batch)
    crossed = tiles.tracks["DRAM port"]
    for place, layer in enumerate(result.layers):
        here = [one for one in crossed if one.layer == place]
        for way, total in (("read", layer.dram.read_bytes), ("write", layer.dram.write_bytes)):
            assert sum(one.amount for one in here if one.what.startswith(way)) == total
    arrays = [one for name, some in tiles.tracks.items() if "array" in name for one in some]
    assert sum(one.amount for one in arrays) == result.macs
    ends = [one.start + one.cycles for some in tiles.tracks.values() for one in some]
    assert max(ends) <= result.cycles


def test_nothing_is_in_two_places_and_rooms_are_rooms() -> None:
    _, tiles = tiles_of("lenet5", "array.count=2")
    assert {"DRAM port", "array 0", "array 1"} <= tiles.tracks.keys()
    for some in tiles.tracks.values():
        assert all(one.start + one.cycles <= then.start for one, then in pairwise(some))
    for room in tiles.rooms.values():
        assert all(0 <= taken <= room.size for _, taken in room.taken)
        assert all(at < then for (at, _), (then, _) in pairwise(room.taken))


def test_the_short_form_says_the_same() -> None:
    _, tiles = tiles_of("lenet5", "array.count=2")
    short = tiles.as_dict()
    assert {name: unpacked(track) for name, track in short["tracks"].items()} == {
        name: [*some] for name, some in tiles.tracks.items()
    }
    for name, room in tiles.rooms.items():
        words, order = short["rooms"][name]["words"], short["rooms"][name]["order"]
        at = size = 0
        for place, (cycle, taken) in zip(order, room.taken, strict=True):
            at, size = at + words[place][0], size + words[place][1]
            assert (at, size) == (cycle, taken)


def test_what_is_too_long_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "MOST_SLICES", 20)
    assert accelsim.simulate("lenet5", "edge_ws", tiles=True).tiles is None
    assert accelsim.simulate("lenet5", "edge_ws").tiles is None
