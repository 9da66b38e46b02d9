"""The loop over all that is to come, as `clock` steps through it."""

from accelsim.engine.compiled.channel import begin, next_request
from accelsim.engine.compiled.events import (
    BEGIN_NEXT,
    FINISH,
    GO_ON,
    MOVE,
    OPEN_GATE,
    START,
    STORE,
    is_open,
    meet,
    schedule,
    soon,
    take_next_event,
    trigger,
)
from accelsim.engine.compiled.loader import ask_for, hand_over, has_asked, may_ask, next_task
from accelsim.engine.compiled.records import (
    AGENDA,
    ASKED,
    AT,
    CALL,
    CALLED,
    CALLS,
    CHANNEL_FREE_AT,
    DUE,
    FIRST_SOON,
    HELD,
    INPUTS,
    IS_WRITE,
    ITEM,
    LAST_SOON,
    LAYER,
    LOADERS,
    MOST,
    NEEDS,
    NOW,
    PART,
    REQUESTS,
    SOON,
    STATUS,
    TASK,
    TO_PLAY,
    UNIT,
    UNITS,
    UNITS_END,
    Memory,
)
from accelsim.engine.compiled.units import end, finish, go_on, move, start, store
from accelsim.jit import entry, jit


@entry
def play_all(memory: Memory, gates: Memory) -> None:
    """Play to the end, or as far as it goes; `gates` are those of the layers, in their order."""
    begin_all(memory, gates)
    while not memory[STATUS]:
        if memory[FIRST_SOON] < memory[LAST_SOON] and not is_due(memory):
            unit = memory[memory[SOON] + memory[FIRST_SOON] % memory[MOST]]
            memory[FIRST_SOON] += 1
            load(memory, unit)
        elif memory[DUE]:
            step(memory)
        else:
            return


@jit
def begin_all(memory: Memory, gates: Memory) -> None:
    """Open the gates that need nothing, and let the loaders that have something to do begin."""
    for gate in gates:
        if not memory[gate + NEEDS]:
            trigger(memory, gate)
    for unit in range(memory[UNITS], memory[UNITS_END], UNIT):
        if memory[memory[unit + TO_PLAY]]:
            soon(memory, unit)


@jit
def is_due(memory: Memory) -> bool:
    """Whether something else is to come in this cycle."""
    return bool(memory[DUE] and memory[memory[AGENDA] + AT] <= memory[NOW])


@jit
def step(memory: Memory) -> None:
    """Let the next event happen, and all that is called then."""
    what, which = take_next_event(memory)
    if what == BEGIN_NEXT:
        begin_next(memory)
    elif what == OPEN_GATE:
        open_gate(memory, which)
    else:
        do(memory, what, which)
        do_calls(memory)


@jit
def do_calls(memory: Memory) -> None:
    """Do all that is to be done at once, the last first."""
    while memory[CALLED]:
        memory[CALLED] -= 1
        place = memory[CALLS] + CALL * memory[CALLED]
        do(memory, memory[place], memory[place + 1])


@jit
def do(memory: Memory, what: int, which: int) -> None:
    """Let one thing happen to a task or a unit."""
    if what == START:
        start(memory, which)
    elif what == FINISH:
        finish(memory, which)
    elif what == GO_ON:
        go_on(memory, which)
    elif what == MOVE:
        move(memory, which)
    elif what == STORE:
        store(memory, which)
    else:
        end(memory, which)


@jit
def begin_next(memory: Memory) -> None:
    """Let the channel begin with the transfers that are needed first, as it is free."""
    while memory[REQUESTS] and memory[CHANNEL_FREE_AT] <= memory[NOW]:
        request = next_request(memory)
        begin(memory, memory[request + TASK], memory[request + HELD], memory[request + IS_WRITE])
        do_calls(memory)
    if memory[REQUESTS]:
        schedule(memory, memory[CHANNEL_FREE_AT] - memory[NOW], BEGIN_NEXT, 0)


@jit
def open_gate(memory: Memory, gate: int) -> None:
    """Let go on who waits for a gate: other gates first, then loaders."""
    meet(memory, gate)
    first = gate + LOADERS + 1
    for place in range(first, first + memory[gate + LOADERS]):
        load(memory, memory[place])


@jit
def load(memory: Memory, unit: int) -> None:
    """Load ahead, layer after layer, task by task, until something is missing."""
    while memory[unit + ITEM] or next_task(memory, unit):
        while not has_asked(memory, unit):
            ask = memory[unit + ASKED]
            if not may_ask(memory, unit, ask):
                return
            ask_for(memory, unit, ask)
            do_calls(memory)
        if not is_open(memory, memory[memory[memory[unit + PART] + LAYER] + INPUTS], unit):
            return
        hand_over(memory, unit)
        do_calls(memory)
