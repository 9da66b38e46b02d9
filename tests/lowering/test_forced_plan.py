"""Plans that are forced: a saved mapping makes its run again, and what cannot be is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import MACHINES, chain, conv, machine, max_pool, networks, split, tangled_networks

import accelsim
from accelsim.errors import DoesNotFitError, InputError
from accelsim.explanation import explain
from accelsim.frontend.hardware_file import with_settings
from accelsim.hardware import Hardware, Objective
from accelsim.lowering.ranking import plain
from accelsim.network.graph import Network
from accelsim.report.mapping import mapping_text
from accelsim.results import RunResult


def stay(address: int, *readers: str) -> dict[str, Any]:
    return {"address": address, "readers": [*readers]}


CHANGES = st.fixed_dictionaries(
    {
        "fused": st.sampled_from([(), ("activation",), ("add", "pool"), ("activation", "pool")]),
        "depthwise": st.sampled_from(["array", "vector", "best"]),
        "batch_split": st.sampled_from(["whole", "auto", 2]),
    }
)
"""What else is decided when a network is lowered."""

JUDGED = ("energy=horowitz_45nm", "array.objective=edp")


def run_of(network: Network, hardware: Hardware, batch: int) -> RunResult | None:
    try:
        return accelsim.simulate(network, hardware, batch=batch)
    except DoesNotFitError:
        return None


@st.composite
def machines(draw: st.DrawFn) -> Hardware:
    hardware = draw(MACHINES).model_copy(update=draw(CHANGES))
    hardware = with_settings(hardware, draw(st.sampled_from([(), JUDGED])))
    is_best = draw(st.booleans())
    return hardware.under("best") if is_best else hardware


@pytest.mark.slow
@given(networks() | tangled_networks(), machines(), st.integers(1, 3))
@drawn(40)
def test_a_saved_mapping_makes_its_run_again(
    network: Network, hardware: Hardware, batch: int
) -> None:
    """All of it: cycles, buckets, traffic, what is resident; through the text of a file."""
    result = run_of(network, hardware, batch)
    if result is None:
        return
    saved = yaml.safe_load(mapping_text(result))
    again = accelsim.simulate(network, hardware, batch=batch, mapping=saved)
    assert again.as_dict() == result.as_dict()
    assert again.mapping == result.mapping == saved


@pytest.mark.parametrize("objective", ["time", "energy", "edp"])
def test_the_rest_is_searched_for_what_a_mapping_says(objective: Objective) -> None:
    """So that savings compare with the same tilings; a machine judged by time knows no other."""
    network, judged = chain((2, 6, 6), conv(2)), with_settings(SMALL, JUDGED)
    forced: dict[str, Any] = {"layers": {}, "searched_for": objective}
    assert explain(network, judged, "a", mapping=forced).minimised == objective
    assert explain(network, SMALL, "a", mapping=forced).minimised == "time"
    saved = accelsim.simulate(network, judged).mapping
    assert saved is not None
    assert saved["searched_for"] == explain(network, judged, "a").minimised


@pytest.mark.parametrize(("tiles", "into"), [({}, "a"), ({"b": {"rows": 2}}, None)])
def test_a_pool_with_tiles_of_its_own_is_not_fused(tiles: dict[str, Any], into: str | None) -> None:
    """Else it is, where `fused` is forced: also where the search would not, as it is no faster."""
    network = chain((2, 8, 8), conv(2), max_pool(2))
    hardware = with_settings(machine(split("4 KiB", "4 KiB", "4 KiB")), ["fused=[pool]"])
    run = accelsim.simulate(network, hardware, mapping={"fused": ["pool"], "layers": tiles})
    assert run.layer("b").fused_into == into


THREE = chain((4, 12, 12), conv(4), conv(4), conv(4), max_pool(2))
SMALL = machine(split("1200 B", "1 KiB", "2 KiB"), residency="on")
"""Room for two of the ofmaps of 576 bytes: those of a and c lie at 624, that of b at 48."""


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"on_chip": {"z": stay(0, "b")}}, "on_chip.z: unknown ofmap that can stay 'z'"),
        ({"on_chip": {"a": stay(0, "c")}}, "on_chip.a.readers: expected the first of its readers"),
        ({"on_chip": {"a": stay(625, "b")}}, "on_chip.a.address: its 576 bytes at 625 end beyond"),
        ({"on_chip": {"a": stay(624, "b"), "b": stay(49, "c")}}, "b.address: has addresses of a"),
        ({"rooms": {"b": 49}}, "rooms.b: expected at most the 48 bytes below what stays"),
        ({"rooms": {"q": 1}}, "rooms.q: unknown layer 'q'"),
        ({"rooms": {"a": 95}}, "chain: layer a: no tile of it fits the 95 bytes"),
        ({"on_chip": None}, "rooms: is of a plan of what stays on chip; give on_chip too"),
        ({"shared_weights": "stay"}, "shared_weights: no weight that several layers read"),
        ({"arrays": 2}, "arrays: expected at most the 1 arrays of the hardware, found 2"),
        ({"fused": ["pool"]}, "fused: expected kinds that the hardware has (none), found pool"),
        ({"on_lanes": ["a"]}, "on_lanes: unknown depthwise layer 'a'"),
        ({"rest": {}}, "rest: unknown key 'rest'"),
        ({"layers": {"a": {"dataflow": "os"}}}, "layers.a.dataflow: layer a: expected one of ws"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_by_key(plan: dict[str, Any], said: str) -> None:
    mapping = accelsim.simulate(THREE, SMALL).mapping
    assert mapping is not None
    assert mapping["on_chip"]["b"] == stay(48, "c")
    with pytest.raises((InputError, DoesNotFitError)) as caught:
        accelsim.simulate(THREE, SMALL, mapping={**mapping, **plan})
    assert said in str(caught.value)


def test_where_every_layer_has_its_own_dataflow_each_is_given_one() -> None:
    best = SMALL.under("best")
    assert accelsim.simulate(THREE, best, mapping={"[abc]": {"dataflow": "is"}}).layer("b").dataflow
    with pytest.raises(InputError, match=r"layers\.b: needs a dataflow, one of os, ws, is"):
        accelsim.simulate(THREE, best, mapping={"[ac]": {"dataflow": "is"}})


def test_rows_that_no_tap_reads_are_left_out_of_the_layers_that_are_named() -> None:
    """A pixel in two is read: the rows between come along, or stay in DRAM."""
    network = chain((4, 12, 12), conv(4), conv(4, 1, 2), conv(4, 1, 2))
    skipping = machine(split("1200 B", "1 KiB", "2 KiB"), dram={"unread_rows": "skip"})
    free = accelsim.simulate(network, skipping)
    assert free.mapping is not None
    assert accelsim.simulate(network, skipping, mapping=free.mapping).as_dict() == free.as_dict()
    reads = []
    for names in ([], ["b"], ["b", "c"]):
        forced = accelsim.simulate(network, skipping, mapping={"skips": names, "layers": {}})
        assert forced.mapping is not None
        assert forced.mapping["skips"] == names
        reads.append(sum(each.dram.ifmap_read_bytes for each in forced.layers))
    assert reads == sorted(reads, reverse=True)
    assert len({*reads}) == 3
    for hardware, name in ((skipping, "a"), (SMALL, "b")):
        with pytest.raises(InputError, match="skips: unknown layer with unread rows"):
            accelsim.simulate(network, hardware, mapping={"skips": [name], "layers": {}})


def test_images_of_a_part_are_one_of_the_choices() -> None:
    split_up = SMALL.model_copy(update={"batch_split": "auto"})
    forced = accelsim.simulate(THREE, split_up, batch=5, mapping={"images": 2, "layers": {}})
    assert forced.sub_batches == (2, 2, 1)
    with pytest.raises(InputError, match="images: expected one of 5, 3, 2, 1, as batch_split"):
        accelsim.simulate(THREE, split_up, batch=5, mapping={"images": 4, "layers": {}})


@st.composite
def plans(draw: st.DrawFn, network: Network, size: int) -> dict[str, Any]:
    """Any ofmaps anywhere, for any of their readers."""
    names = st.sampled_from(sorted(network.by_name))
    chosen = draw(st.dictionaries(names, st.integers(0, size), min_size=1, max_size=4))
    readers = {name: list(network.consumers[name]) or [name] for name in chosen}
    return {
        name: stay(address, *readers[name][: draw(st.integers(1, 2))])
        for name, address in chosen.items()
    }


@pytest.mark.slow
@given(st.data(), networks() | tangled_networks(), MACHINES)
@drawn(60)
def test_a_plan_is_refused_or_runs_and_computes_right(
    data: st.DataObject, network: Network, hardware: Hardware
) -> None:
    """However it is chosen, no layer waits for ever, and every value is right."""
    on = hardware.model_copy(update={"residency": "on"})
    size = next(each.size for each in on.buffers.values() if "ifmap" in each.holds)
    mapping = {"on_chip": data.draw(plans(network, size)), "layers": {}}
    try:
        run = accelsim.simulate(network, on, mapping=mapping)
    except (InputError, DoesNotFitError):
        return
    assert run.mapping is not None
    assert run.mapping["on_chip"] == mapping["on_chip"]
    assert accelsim.verify(network, on, mapping=mapping).passed


def test_layers_that_run_alone_have_a_mapping_each(tmp_path: Path) -> None:
    """Rows of a topology, two of them of two images at a time; the batch runs in parts."""
    topology = tmp_path / "t.csv"
    topology.write_text(
        "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, "
        "Strides, Batch,\n"
        "c1, 5, 5, 3, 3, 2, 3, 1, 1,\nc2, 4, 4, 3, 3, 2, 3, 1, 2,\nc3, 4, 4, 3, 3, 2, 3, 1, 2,"
    )
    auto = SMALL.model_copy(update={"batch_split": "auto"})
    result = accelsim.simulate(topology, auto, batch=2)
    assert result.layer("c3").inputs == ("c3/ifmap",)
    assert result.mapping is not None
    again = accelsim.simulate(topology, auto, batch=2, mapping=result.mapping)
    assert again.layers == result.layers
    asked = {"c2": {"rows": 1}, "c?": {"cols": 2}}
    forced = accelsim.simulate(topology, auto, batch=2, mapping=asked)
    assert [plain(each.tiling)["cols"] for each in forced.layers] == [2, 2, 2]
    assert plain(forced.layer("c2").tiling)["rows"] == 1
    assert accelsim.verify(topology, auto, batch=2, mapping=result.mapping).passed
    with pytest.raises(InputError, match=r"layers\.e: unknown layer 'e'"):
        accelsim.simulate(topology, auto, batch=2, mapping={"c3": {"rows": 1}, "e": {"rows": 1}})
