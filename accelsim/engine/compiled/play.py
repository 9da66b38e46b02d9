"""Plays a Program in compiled code, and says when its layers ran."""

from accelsim.engine.compiled import records as r
from accelsim.engine.compiled.layout import Laid, laid, with_place_for
from accelsim.engine.compiled.loop import play_all
from accelsim.engine.compiled.records import Memory
from accelsim.engine.machine import LayerTimes, layer_times
from accelsim.engine.scheduler import Timeline
from accelsim.lowering.price import Prices, price
from accelsim.lowering.program import Program

LEAST, MOST = 1 << 8, 1 << 22
"""Tasks under way, transfers that wait and events to come that there is place for."""


def play_compiled(program: Program, prices: Prices | None = None) -> list[LayerTimes] | None:
    """The times of a Program's layers, as `machine.play` gives them; None if it cannot finish."""
    begin = laid(price(program, prices))
    most = LEAST
    while most <= MOST:
        memory = with_place_for(begin.memory, most)
        play_all(memory, begin.gates)
        if memory[r.STATUS] != r.TOO_MANY:
            return _times(begin, memory)
        most *= 8
    return None


def _times(begin: Laid, memory: Memory) -> list[LayerTimes] | None:
    times = []
    for layer, parts in zip(begin.layers, begin.parts, strict=True):
        if not memory[memory[layer + r.DONE] + r.PROCESSED]:
            return None
        lines = {core: _line(memory, part) for core, part in parts.items() if memory[part + r.OPEN]}
        times.append(layer_times(int(memory[memory[layer + r.INPUTS] + r.OPENED_AT]), lines))
    return times


def _line(memory: Memory, part: int) -> Timeline:
    return Timeline(
        begun=int(memory[part + r.LINE_BEGUN]),
        computed=int(memory[part + r.COMPUTED]),
        stored=int(memory[part + r.AWAY]),
        tail=int(memory[part + r.LINE_TAIL]),
        read_wait=int(memory[part + r.READ_WAIT]),
        write_wait=int(memory[part + r.WRITE_WAIT]),
        other_layer=int(memory[part + r.OTHER_LAYER]),
    )
