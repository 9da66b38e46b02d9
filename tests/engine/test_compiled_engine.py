"""The compiled engine gives the times that SimPy's gives, whatever it plays.

Most is tried on it as plain Python, which does the same and needs no compiler; what numba makes of
it in the slow tests.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from drawing import any_tilings, drawn
from hypothesis import assume, given
from hypothesis import strategies as st
from machines import MACHINES, chain, conv, machine, max_pool, networks, unified
from uncompiled import uncompiled

from accelsim.engine.machine import LayerTimes, play
from accelsim.errors import DoesNotFitError
from accelsim.facade import compile_program
from accelsim.given import hardware_of
from accelsim.hardware import Hardware
from accelsim.lowering.lower import lower
from accelsim.lowering.program import Program
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import Concat

Play = Callable[[Program], list[LayerTimes] | None]


@pytest.fixture(scope="module")
def as_python() -> Iterator[Play]:
    with uncompiled("accelsim.engine.compiled.play", "play_compiled") as function:
        yield function


@pytest.fixture(scope="module")
def by_numba() -> Play:
    pytest.importorskip("numba")
    from accelsim.engine.compiled.play import play_compiled

    return play_compiled


def with_arrays(hardware: Hardware, count: int) -> Hardware:
    array = hardware.array.model_copy(update={"count": count})
    return hardware.model_copy(update={"array": array})


@any_tilings
def program_of(network: Network, one_array: Hardware, arrays: int) -> Program:
    try:
        return lower(network, with_arrays(one_array, arrays))
    except DoesNotFitError:
        assume(False)
        raise


def assert_as_simpy_says(as_python: Play, program: Program) -> None:
    assume(program.tiles < 2_000)
    assert as_python(program) == play(program)


@given(networks(), MACHINES, st.integers(1, 4))
@drawn(100, percent=5)
def test_any_network_takes_what_simpy_says(
    as_python: Play, network: Network, one_array: Hardware, arrays: int
) -> None:
    assert_as_simpy_says(as_python, program_of(network, one_array, arrays))


@st.composite
def branches(draw: st.DrawFn) -> Network:
    """Convolutions beside pools, which meet in the buffers of a core."""
    specs: list[LayerSpec] = []
    last = "x"
    for block in range(draw(st.integers(1, 3))):
        ops = draw(st.lists(st.integers(0, 24), min_size=1, max_size=3))
        for filters in ops:
            op = conv(filters) if filters > 12 else max_pool(3, 1, 1)
            specs.append(LayerSpec(f"l{len(specs)}", op, (last,)))
        last = specs[-1].name
        if len(ops) > 1:
            joined = tuple(spec.name for spec in specs[-len(ops) :])
            last = f"j{block}"
            specs.append(LayerSpec(last, Concat(), joined))
    shape = (draw(st.integers(1, 24)), *[draw(st.integers(6, 24))] * 2)
    return build_network("branches", {"x": shape}, specs)


SHARED = st.builds(
    machine,
    st.sampled_from([300, 600, 1_200, 3_000, 10_000]).map(lambda size: unified(f"{size} B")),
    st.fixed_dictionaries({"rows": st.integers(1, 8), "cols": st.integers(1, 8)}),
    st.fixed_dictionaries(
        {
            "bandwidth": st.sampled_from(["1 B/cycle", "3 B/cycle", "8 B/cycle", "64 B/cycle"]),
            "latency": st.sampled_from(["0 cycles", "7 cycles", "100 cycles"]),
        }
    ),
)


@given(branches(), SHARED, st.integers(1, 2))
@drawn(150, percent=4)
def test_units_that_share_a_buffer_take_what_simpy_says(
    as_python: Play, network: Network, one_array: Hardware, arrays: int
) -> None:
    assert_as_simpy_says(as_python, program_of(network, one_array, arrays))


@pytest.mark.parametrize(
    "fold_overlap", ["serial", pytest.param("pipelined", marks=pytest.mark.slow)]
)
def test_arrays_that_change_their_dataflow_take_what_simpy_says(
    as_python: Play, fold_overlap: str
) -> None:
    size = ["array.rows=16", "array.cols=16", "array.changeover=7"]
    given = [f"array.fold_overlap={fold_overlap}", *size]
    program = compile_program("lenet5", hardware_of("edge_ws", "best", given))
    assert len({*program.flows} - {None}) > 1
    assert as_python(program) == play(program)


def test_place_grows_with_what_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """More tasks, transfers and events than there is place for begin the play anew, with more."""
    with uncompiled("accelsim.engine.compiled.play", "play_compiled") as function:
        globals_of: dict[str, Any] = function.__globals__
        grown = []
        with_place_for = globals_of["with_place_for"]

        def noted(memory: Any, most: int) -> Any:
            grown.append(most)
            return with_place_for(memory, most)

        monkeypatch.setitem(globals_of, "LEAST", 1)
        monkeypatch.setitem(globals_of, "with_place_for", noted)
        program = compile_program("lenet5", "edge_ws")
        assert function(program) == play(program)
        assert len(grown) > 1


def test_what_cannot_go_on_has_no_times(as_python: Play) -> None:
    program = lower(chain((1, 2, 2), conv(1)), machine())
    buffers = tuple(replace(space, size=3) for space in program.target.buffers)
    stuck = replace(program, target=replace(program.target, buffers=buffers))
    assert as_python(stuck) is None


@pytest.mark.slow
@given(networks() | branches(), MACHINES | SHARED, st.integers(1, 4))
@drawn(600)
def test_numba_changes_nothing(
    by_numba: Play, network: Network, one_array: Hardware, arrays: int
) -> None:
    program = program_of(network, one_array, arrays)
    assert by_numba(program) == play(program)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "hardware", "arrays"),
    [
        ("vgg16", "edge_ws", 3),
        ("googlenet", "edge_ws", 1),
        ("alexnet", "tpu_v1", 1),
        ("resnet18", "tpu_v3", 2),
        ("mobilenet_v2", "gemmini_16x16", 2),
        ("alexnet", "eyeriss", 1),
    ],
)
def test_shipped_networks_take_what_simpy_says(
    by_numba: Play, network: str, hardware: str, arrays: int
) -> None:
    program = compile_program(network, with_arrays(hardware_of(hardware), arrays))
    assert by_numba(program) == play(program)


@pytest.mark.slow
def test_very_many_tiles_take_what_leaps_say(by_numba: Play) -> None:
    tiny = [f"buffers.{name}_sram.size=8 KiB" for name in ("ifmap", "filter", "ofmap")]
    machine = hardware_of("edge_ws", None, [*tiny, "array.count=2"])
    program = compile_program("vgg16", machine)
    assert program.tiles > 100_000
    assert by_numba(program) == play(program)
