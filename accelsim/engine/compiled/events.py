"""Time, and what is to come: as in `clock`, with gates for what `scheduler` waits for."""

from accelsim.engine.compiled.records import (
    AGENDA,
    AT,
    CALL,
    CALLED,
    CALLS,
    DUE,
    EVENT,
    FIRST_SOON,
    LAST_SOON,
    LOADERS,
    MOST,
    NEEDS,
    NOW,
    OPENED_AT,
    ORDER,
    ORDERED,
    PROCESSED,
    SOON,
    STATUS,
    TOO_MANY,
    TRIGGERED,
    WAITING,
    WAITING_END,
    WHAT,
    WHICH,
    Memory,
)
from accelsim.jit import jit

# What is to be done: about a task, but for a unit, the channel and a gate.
START, FINISH, GO_ON, MOVE, STORE, END, BEGIN_NEXT, OPEN_GATE = range(8)


@jit
def after(memory: Memory, cycles: int, what: int, which: int) -> None:
    """Do something in so many cycles; at once, before all else, if there are none."""
    if cycles > 0:
        schedule(memory, cycles, what, which)
    else:
        call(memory, what, which)


@jit
def call(memory: Memory, what: int, which: int) -> None:
    """Do something when what is being done now is done, before all that was called before."""
    if memory[CALLED] == memory[MOST]:
        memory[STATUS] = TOO_MANY
        return
    place = memory[CALLS] + CALL * memory[CALLED]
    memory[place] = what
    memory[place + 1] = which
    memory[CALLED] += 1


@jit
def soon(memory: Memory, unit: int) -> None:
    """Let a loader go on in this cycle, after all else that is to come in it."""
    if memory[LAST_SOON] - memory[FIRST_SOON] == memory[MOST]:
        memory[STATUS] = TOO_MANY
        return
    memory[memory[SOON] + memory[LAST_SOON] % memory[MOST]] = unit
    memory[LAST_SOON] += 1


@jit
def schedule(memory: Memory, cycles: int, what: int, which: int) -> None:
    """Do something in so many cycles, after all that was scheduled for then."""
    agenda, place = memory[AGENDA], memory[DUE]
    if place == memory[MOST]:
        memory[STATUS] = TOO_MANY
        return
    at = memory[NOW] + cycles
    while place > 0:
        above = (place - 1) // 2
        if memory[agenda + EVENT * above + AT] <= at:
            break
        copy(memory, agenda + EVENT * above, agenda + EVENT * place)
        place = above
    memory[ORDERED] += 1
    memory[DUE] += 1
    event = agenda + EVENT * place
    memory[event + AT] = at
    memory[event + ORDER] = memory[ORDERED]
    memory[event + WHAT] = what
    memory[event + WHICH] = which


@jit
def take_next_event(memory: Memory) -> tuple[int, int]:
    """Go on to the next event; what is to be done, and about what."""
    agenda = memory[AGENDA]
    what, which = memory[agenda + WHAT], memory[agenda + WHICH]
    memory[NOW] = memory[agenda + AT]
    memory[DUE] -= 1
    left, place = memory[DUE], 0
    last = agenda + EVENT * left
    while 2 * place + 1 < left:
        child = agenda + EVENT * (2 * place + 1)
        if child + EVENT < last and comes_before(memory, child + EVENT, child):
            child += EVENT
        if not comes_before(memory, child, last):
            break
        copy(memory, child, agenda + EVENT * place)
        place = (child - agenda) // EVENT
    copy(memory, last, agenda + EVENT * place)
    return what, which


@jit
def comes_before(memory: Memory, one: int, other: int) -> bool:
    """Whether an event of the agenda comes before another."""
    if memory[one + AT] != memory[other + AT]:
        return bool(memory[one + AT] < memory[other + AT])
    return bool(memory[one + ORDER] < memory[other + ORDER])


@jit
def copy(memory: Memory, source: int, place: int) -> None:
    """Copy an event of the agenda."""
    for field in range(EVENT):
        memory[place + field] = memory[source + field]


@jit
def trigger(memory: Memory, gate: int) -> None:
    """Open a gate, after all that is to come in this cycle already."""
    memory[gate + TRIGGERED] = 1
    schedule(memory, 0, OPEN_GATE, gate)


@jit
def meet(memory: Memory, gate: int) -> None:
    """Note that a gate is open, for all gates that need that."""
    memory[gate + PROCESSED] = 1
    memory[gate + OPENED_AT] = memory[NOW]
    for place in range(memory[gate + WAITING], memory[gate + WAITING_END]):
        waiting = memory[place]
        memory[waiting + NEEDS] -= 1
        if not memory[waiting + NEEDS]:
            trigger(memory, waiting)


@jit
def is_open(memory: Memory, gate: int, unit: int) -> bool:
    """Whether a gate is open; if not, the loader of a unit goes on when it is."""
    if memory[gate + PROCESSED]:
        return True
    memory[gate + LOADERS] += 1
    memory[gate + LOADERS + memory[gate + LOADERS]] = unit
    return False
