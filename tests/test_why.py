"""What bounds a network and what would help: against runs of the changed hardware files."""

from dataclasses import replace

import pytest
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import MACHINES, chain, conv, dense, machine, max_pool, networks, unified

import accelsim.why
from accelsim.errors import DoesNotFitError
from accelsim.facade import simulate
from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import Hardware
from accelsim.network.graph import Network
from accelsim.network.ops import Flatten
from accelsim.results import Buckets, RunResult
from accelsim.why import Change, Why, explained, relaxed, what_would_help
from accelsim.written import nested
from accelsim.written import settings as settings_of

EDGE = {
    "doubling the array's rows": ["array.rows=64"],
    "doubling the array's columns": ["array.cols=64"],
    "doubling the number of arrays": ["array.count=2"],
    "pipelining the folds": ["array.fold_overlap=pipelined"],
    "doubling ifmap_sram": ["buffers.ifmap_sram.size=128 KiB"],
    "doubling filter_sram": ["buffers.filter_sram.size=128 KiB"],
    "doubling ofmap_sram": ["buffers.ofmap_sram.size=128 KiB"],
    "doubling every buffer": [
        f"buffers.{name}_sram.size=128 KiB" for name in ("ifmap", "filter", "ofmap")
    ],
    "doubling the bandwidth of ifmap_sram": ["buffers.ifmap_sram.bandwidth=64 B/cycle"],
    "doubling the vector unit's lanes": ["vector_unit.lanes=64"],
    "doubling the DRAM bandwidth": ["dram.bandwidth=32 GB/s"],
    "halving the DRAM latency": ["dram.latency=50 ns"],
}


def test_every_relaxation_is_the_file_with_that_change() -> None:
    found = {action: machine for _, action, machine in relaxed(load_hardware("edge_ws"))}
    assert found == {action: load_hardware("edge_ws", each) for action, each in EDGE.items()}


@pytest.mark.parametrize(
    "dataflow", ["os", *(pytest.param(flow, marks=pytest.mark.slow) for flow in ("ws", "is"))]
)
def test_savings_are_those_of_the_runs(dataflow: str) -> None:
    network = chain((3, 8, 8), conv(8, 3), max_pool(2), dense(40))
    why = what_would_help(network, "edge_ws", dataflow, batch=2)
    base = simulate(network, "edge_ws", dataflow, 2).cycles
    assert (why.cycles, why.dataflow, len(why.changes)) == (base, dataflow, len(EDGE))
    for change in why.changes:
        hardware = load_hardware("edge_ws", EDGE[change.action])
        assert change.cycles == simulate(network, hardware, dataflow, 2).cycles
        assert change.saved == 1 - change.cycles / base
    assert [change.saved for change in why.changes] == sorted(
        (change.saved for change in why.changes), reverse=True
    )


def test_what_has_no_limit_is_not_relaxed() -> None:
    """One unlimited buffer, no latency, pipelined already."""
    hardware = machine(unified("1 KiB"), {"fold_overlap": "pipelined"}, {"latency": "0 cycles"})
    assert [action for _, action, _ in relaxed(hardware)] == [
        *("doubling the array's rows", "doubling the array's columns"),
        *("doubling the number of arrays", "doubling all", "doubling the vector unit's lanes"),
        "doubling the DRAM bandwidth",
    ]


def test_a_layer_that_only_reads_filters_is_bound_by_dram() -> None:
    """A dense layer on DRAM of 1 B/cycle: twice the rate takes close to half of the time."""
    hardware = machine(unified("64 KiB"), {"rows": 64, "cols": 64}, {"bandwidth": "1 B/cycle"})
    why = what_would_help(chain((1024, 1, 1), dense(64)), hardware)
    assert why.bound == "dram"
    assert why.shares["dram"] == 1.0
    assert why.changes[0].action == "doubling the DRAM bandwidth"
    assert 0.45 < why.changes[0].saved <= 0.5
    start = "chain on tiny (ws) is bound by DRAM for 100.0 % of its cycles; "
    assert why.sentence.startswith(f"{start}doubling the DRAM bandwidth would save ")


def test_a_large_convolution_with_fast_dram_is_bound_by_the_array() -> None:
    hardware = machine(unified("64 KiB"), dram={"bandwidth": "1 KB/cycle", "latency": "0 cycles"})
    why = what_would_help(chain((16, 12, 12), conv(24, 3)), hardware)
    assert (why.bound, why.helpful[0].resource) == ("array", "array")
    assert why.helpful[0].saved > 0.4


def test_where_nothing_helps_it_says_so() -> None:
    """One MAC: two bytes in, one out, each a cycle however fast the DRAM."""
    dram = {"bandwidth": "1 KB/cycle", "latency": "0 cycles"}
    hardware = machine(unified("1 KiB"), {"rows": 1, "cols": 1}, dram)
    why = what_would_help(chain((1, 1, 1), conv(1)), hardware)
    assert why.helpful == ()
    assert why.sentence.endswith("; none of 7 changes, one resource doubled in each, would help.")


def test_a_network_that_computes_nothing() -> None:
    why = what_would_help(chain((2, 2, 2), Flatten()), machine())
    assert why.sentence == "chain on tiny (ws) takes no time: it computes nothing."
    assert why.as_dict()["bound"] is None


def test_shares_leave_out_waits_for_other_layers() -> None:
    """100 cycles of which 40 waited, bound by the array, and 60 bound by DRAM: half and half."""
    network, hardware = chain((4, 4, 4), conv(4), conv(4)), machine()
    result = simulate(network, hardware)
    one = replace(result.layers[0], bound="array", start_cycle=0, end_cycle=100)
    other = replace(result.layers[1], bound="dram", start_cycle=100, end_cycle=160)
    waited = replace(one, buckets=Buckets(useful=60, other_layer=40))
    done = replace(other, buckets=Buckets(useful=60))
    why = explained(replace(result, layers=(waited, done)), network, hardware)
    assert why.shares == {"array": 0.5, "buffer": 0.0, "vector": 0.0, "dram": 0.5}


def test_a_change_that_does_not_fit_is_no_help(monkeypatch: pytest.MonkeyPatch) -> None:
    network, hardware = chain((4, 4, 4), conv(4)), machine()

    def picky(*arguments: object, **options: object) -> RunResult:
        tried = arguments[1]
        assert isinstance(tried, Hardware)
        if tried.array.rows > hardware.array.rows:
            raise DoesNotFitError("too tall")
        return simulate(network, tried)

    monkeypatch.setattr(accelsim.why, "simulate", picky)
    why = what_would_help(network, hardware)
    (tall,) = [change for change in why.changes if "rows" in change.action]
    assert (tall.cycles, tall.saved) == (None, 0.0)
    assert tall not in why.helpful


def test_a_hardware_that_nothing_fits_is_refused() -> None:
    with pytest.raises(DoesNotFitError):
        what_would_help(chain((1, 9, 9), conv(1, 5)), machine(unified("10 B")))


BASE = Why("net", "chip", "os", 100, {"array": 0.7, "buffer": 0, "vector": 0, "dram": 0.3}, ())
ROWS = Change("array", "doubling rows", 60, 0.4)
COLS = Change("array", "doubling columns", 70, 0.3)
DRAM = Change("dram", "doubling DRAM", 91, 0.09)
NOTHING = Change("vector", "doubling lanes", 100, 0.0004)
WORSE = Change("buffer", "doubling sram", 110, -0.1)


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        (
            (ROWS, COLS, DRAM, NOTHING),
            "doubling rows would save 40.0 %, doubling columns 30.0 %, doubling DRAM 9.0 %.",
        ),
        (
            (ROWS, COLS, NOTHING),
            "doubling rows would save 40.0 %, doubling columns 30.0 %, and no other resource would "
            "help.",
        ),
        ((ROWS, DRAM, COLS), "doubling rows would save 40.0 %, doubling DRAM 9.0 %."),
        ((ROWS,), "doubling rows would save 40.0 %, and no other resource would help."),
        ((NOTHING, WORSE), "none of 2 changes, one resource doubled in each, would help."),
    ],
)
def test_the_sentence(changes: tuple[Change, ...], advice: str) -> None:
    """The two best, and the best of another resource, once each."""
    sentence = replace(BASE, changes=changes).sentence
    assert sentence == f"net on chip (os) is bound by the array for 70.0 % of its cycles; {advice}"


def test_relaxed_hardware_still_keeps_to_the_schema() -> None:
    for name in ("edge_ws", "tpu_v1", "eyeriss"):
        base = {each.path: each.value for each in settings_of(load_hardware(name))}
        for _, action, hardware in relaxed(load_hardware(name)):
            changed = {each.path: each.value for each in settings_of(hardware)}
            different = [path for path in base if base[path] != changed[path]]
            expected = len(hardware.buffers) if "every" in action else 1 + ("psum" in action)
            assert len(different) == expected, action


@pytest.mark.slow
@given(networks(), MACHINES)
@drawn(8)
def test_shares_add_up_and_every_machine_has_an_answer(
    network: Network, hardware: Hardware
) -> None:
    try:
        why = what_would_help(network, hardware)
    except DoesNotFitError:
        return
    assert sum(why.shares.values()) == pytest.approx(1)
    assert why.sentence.startswith("drawn on tiny (")
    assert why.sentence.count(".") == why.sentence.count("%") + 1  # decimals, and the full stop


@pytest.mark.slow
@given(networks(), MACHINES, st.integers(1, 3))
@drawn(10)
def test_what_is_promised_comes_true(network: Network, hardware: Hardware, batch: int) -> None:
    """Whoever writes the change into the hardware's file gets the cycles that were told."""
    try:
        why = what_would_help(network, hardware, batch=batch)
    except DoesNotFitError:
        return
    promised = {change.action: change.cycles for change in why.changes}
    for _, action, relaxed_one in relaxed(hardware):
        written = Hardware.model_validate(nested(settings_of(relaxed_one)))
        try:
            cycles = simulate(network, written, batch=batch).cycles
        except DoesNotFitError:
            cycles = None
        assert promised[action] == cycles, action


def test_a_forced_mapping_is_forced_on_every_change() -> None:
    """One ofmap value a tile: no resource makes that good, while a free search would."""
    network, hardware = chain((4, 6, 6), conv(4)), machine()
    tiny = {"a": {"rows": 1, "cols": 1, "filters": 1}}
    why = what_would_help(network, hardware, mapping=tiny)
    assert why.cycles == simulate(network, hardware, mapping=tiny).cycles
    for change, (_, action, other) in zip(
        sorted(why.changes, key=lambda each: each.action),
        sorted(relaxed(hardware), key=lambda each: each[1]),
        strict=True,
    ):
        assert change.action == action
        assert change.cycles == simulate(network, other, mapping=tiny).cycles
    assert max(change.saved for change in why.changes) < 0.6


def test_what_no_file_may_say_is_not_tried() -> None:
    largest = load_hardware("edge_ws", ["array.rows=65536", "array.count=1024"])
    actions = [action for _, action, _ in relaxed(largest)]
    assert "doubling the array's rows" not in actions
    assert "doubling the number of arrays" not in actions
    assert "doubling the array's columns" in actions
