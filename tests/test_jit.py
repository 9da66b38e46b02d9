"""Compiled code: when it is used, and that nobody sees that it is but by the time it takes."""

import re

import pytest
from machines import chain, conv, machine, unified

from accelsim import jit
from accelsim.engine.compiled import play as compiled_play
from accelsim.engine.machine import LayerTimes, play
from accelsim.explanation import explain
from accelsim.facade import simulate
from accelsim.jit import MANY_TILES, TO_COMPILE, TO_LOAD, Patience
from accelsim.lowering.lower import lower
from accelsim.lowering.price import Prices
from accelsim.lowering.program import Program
from accelsim.lowering.recall import Memory
from accelsim.results import player
from accelsim.results.player import Player


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "is_installed", lambda: True)
    monkeypatch.setattr(jit, "is_kept", lambda: True)


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    ("spent", "tiles", "is_kept", "over"),
    [
        (0, 0, True, False),
        (0, MANY_TILES, True, True),
        (0, MANY_TILES, False, False),
        (TO_LOAD, 0, True, True),
        (TO_LOAD, 0, False, False),
        (TO_COMPILE, 0, False, True),
    ],
)
def test_it_is_waited_for_as_long_as_it_takes_to_have_it(
    monkeypatch: pytest.MonkeyPatch, spent: float, tiles: int, is_kept: bool, over: bool
) -> None:
    monkeypatch.setattr(jit, "is_kept", lambda: is_kept)
    assert Patience(spent).is_over(tiles) == over


def test_what_must_be_kept_is_what_is_entered() -> None:
    """Else compiled code would never be taken for kept."""
    sources = jit.PACKAGE.glob("*/compiled/*.py")
    entered = {
        f"{path.stem}.{name}"
        for path in sources
        for name in re.findall(r"^@entry\ndef (\w+)", path.read_text(), re.MULTILINE)
    }
    assert entered == jit.ENTRIES


def test_without_a_compiler_it_is_waited_for_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jit, "is_installed", lambda: False)
    assert not Patience(1e9).is_over(10**9)


def test_seconds_of_python_count() -> None:
    patience = Patience()
    with patience.counting():
        sum(range(300_000))
    assert 0 < patience.spent < TO_LOAD


@pytest.mark.usefixtures("kept")
def test_a_compiler_that_fails_is_told_once_and_python_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(program: object, prices: object) -> None:
        raise OSError("no such instruction")

    monkeypatch.setattr(compiled_play, "play_compiled", fails)
    program = lower(chain((3, 8, 8), conv(4), conv(4)), machine())
    player = Player(patience := Patience(TO_LOAD))
    with pytest.warns(UserWarning, match="no such instruction"):
        cycles = player.cycles(program)
    assert cycles == Player().cycles(program)
    assert patience.failed
    assert not patience.is_over()


@pytest.mark.usefixtures("kept")
def test_once_loaded_it_plays_the_shortest_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    played = []
    monkeypatch.setattr(compiled_play, "play_compiled", lambda *given: played.append(given) or [])
    program = lower(chain((3, 8, 8), conv(4), conv(4)), machine())
    player = Player(patience := Patience(TO_LOAD))
    player.cycles(program)
    monkeypatch.setattr(jit, "is_kept", lambda: pytest.fail("asked again"))
    patience.spent = 0
    assert patience.is_over()
    assert len(played) == 1


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    ("side", "asked"),
    [(8, 1), pytest.param(256, 0, id="long leaps")],
)
@pytest.mark.parametrize("layers", [1, 2])
def test_of_very_many_tiles_leaps_have_as_long_as_it_would_take(
    monkeypatch: pytest.MonkeyPatch, side: int, asked: int, layers: int
) -> None:
    """Rows of 8 are too few for a period to come again; of 256 all but the first are leapt over."""
    played = []

    def compiled(program: Program, prices: Prices) -> list[LayerTimes]:
        played.append(program)
        return play(program, leaps=False, prices=prices)

    monkeypatch.setattr(player, "MOST_TILES", 0)
    monkeypatch.setattr(compiled_play, "play_compiled", compiled)
    convs = [conv(4, 3, 1, 1) for _ in range(layers)]
    small = machine(unified("256 B"), {"rows": 2, "cols": 2}, residency="off")
    program = lower(chain((3, side, side), *convs), small)
    one = Player(Patience(TO_LOAD))
    assert one.cycles(program) == max(times.end for times in play(program))
    assert len(played) == asked


@pytest.mark.usefixtures("kept")
def test_tilings_that_are_compared_are_played_by_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    played = []

    def compiled(program: Program, prices: Prices) -> list[LayerTimes]:
        played.append(program.tiles)
        return play(program, prices=prices)

    monkeypatch.setattr(compiled_play, "play_compiled", compiled)
    memory = Memory()
    memory.patience.spent = TO_LOAD
    told = explain("lenet5", "edge_ws", "S2", memory=memory)
    assert {each.tiles for each in told.contenders} <= {*played}


@pytest.mark.slow
@pytest.mark.parametrize("hardware", ["edge_ws", "tpu_v1"])
def test_a_run_is_the_same_with_compiled_code(hardware: str) -> None:
    pytest.importorskip("numba")
    memory = Memory()
    memory.patience.spent = TO_COMPILE
    assert simulate("alexnet", hardware, memory=memory) == simulate("alexnet", hardware)
