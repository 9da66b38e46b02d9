"""The DRAM channel, as in `memory.DramChannel`."""

from accelsim.engine.compiled.events import BEGIN_NEXT, END, START, after, schedule
from accelsim.engine.compiled.records import (
    AFTER,
    ARRIVAL,
    ASKED_FOR,
    BEGUN,
    BEHIND,
    BUSY_UNTIL,
    CHANNEL_FREE_AT,
    CURRENT,
    FIRST_REQUEST,
    FREE_AT,
    FREE_REQUEST,
    HELD,
    IS_WRITE,
    LAST_REQUEST,
    LATENCY,
    LAYER,
    LEFT,
    NOW,
    OWNER,
    PART,
    PENDING,
    REQUESTS,
    STATUS,
    TASK,
    TO_READ,
    TOO_MANY,
    TOTAL,
    TURN,
    UNIT,
    UNITS,
    UNITS_END,
    WORK,
    WRITING,
    Memory,
)
from accelsim.jit import jit


@jit
def transfer(memory: Memory, task: int, cycles: int, is_write: int) -> None:
    """Move a tile: at once, if the channel is free, or in its turn."""
    if not memory[REQUESTS]:
        if memory[CHANNEL_FREE_AT] <= memory[NOW]:
            begin(memory, task, cycles, is_write)
            return
        schedule(memory, memory[CHANNEL_FREE_AT] - memory[NOW], BEGIN_NEXT, 0)
    request = memory[FREE_REQUEST]
    if not request:
        memory[STATUS] = TOO_MANY
        return
    memory[FREE_REQUEST] = memory[request + AFTER]
    memory[ASKED_FOR] += 1
    memory[REQUESTS] += 1
    memory[request + TASK] = task
    memory[request + HELD] = cycles
    memory[request + IS_WRITE] = is_write
    memory[request + TURN] = memory[ASKED_FOR]
    enqueue(memory, request, memory[task + OWNER])


@jit
def enqueue(memory: Memory, request: int, unit: int) -> None:
    """Let a transfer wait behind those of the same unit."""
    memory[request + BEHIND] = memory[unit + WORK]
    memory[request + AFTER] = 0
    if memory[unit + LAST_REQUEST]:
        memory[memory[unit + LAST_REQUEST] + AFTER] = request
    else:
        memory[unit + FIRST_REQUEST] = request
    memory[unit + LAST_REQUEST] = request


@jit
def begin(memory: Memory, task: int, cycles: int, is_write: int) -> None:
    """Hold the channel for a transfer, and say when it arrives."""
    start = memory[NOW]
    if memory[WRITING] >= 0 and memory[WRITING] != is_write:
        start += memory[TO_READ + is_write]
    memory[WRITING] = is_write
    memory[CHANNEL_FREE_AT] = start + cycles
    arrival = start + cycles + memory[LATENCY]
    if is_write:
        after(memory, arrival - memory[NOW], END, task)
        return
    memory[task + ARRIVAL] = arrival
    memory[task + PENDING] -= 1
    if memory[memory[task + OWNER] + CURRENT] == task and not memory[task + PENDING]:
        await_arrival(memory, task)


@jit
def await_arrival(memory: Memory, task: int) -> None:
    """Start a task when its operands have arrived, and its unit is free and set to it."""
    at = max(memory[task + ARRIVAL], memory[memory[task + OWNER] + FREE_AT])
    after(memory, at - memory[NOW], START, task)


@jit
def next_request(memory: Memory) -> int:
    """Take the transfer that is needed first out of its queue."""
    unit = first_unit(memory)
    request = memory[unit + FIRST_REQUEST]
    memory[unit + FIRST_REQUEST] = memory[request + AFTER]
    if not memory[unit + FIRST_REQUEST]:
        memory[unit + LAST_REQUEST] = 0
    memory[request + AFTER] = memory[FREE_REQUEST]
    memory[FREE_REQUEST] = request
    memory[REQUESTS] -= 1
    return int(request)


@jit
def first_unit(memory: Memory) -> int:
    """Whose transfer is needed first: of those that share its layer, who has the most of it."""
    first = 0
    for unit in range(memory[UNITS], memory[UNITS_END], UNIT):
        if memory[unit + FIRST_REQUEST] and (not first or is_needed_before(memory, unit, first)):
            first = unit
    best = first
    for unit in range(memory[UNITS], memory[UNITS_END], UNIT):
        rivals = memory[unit + FIRST_REQUEST] and is_rival(memory, unit, first)
        if rivals and has_more(memory, unit, best):
            best = unit
    return best


@jit
def is_needed_before(memory: Memory, one: int, other: int) -> bool:
    """Whether a unit's transfer is needed before another's."""
    presses, other_presses = waits_for(memory, one), waits_for(memory, other)
    if presses != other_presses:
        return presses
    if memory[one + TOTAL] != memory[other + TOTAL]:
        return bool(memory[one + TOTAL] > memory[other + TOTAL])
    return asked_before(memory, one, other)


@jit
def waits_for(memory: Memory, unit: int) -> bool:
    """Whether a unit waits for its first transfer: all work before that is done."""
    behind = memory[memory[unit + FIRST_REQUEST] + BEHIND]
    return bool(behind <= memory[unit + BEGUN] and memory[unit + BUSY_UNTIL] <= memory[NOW])


@jit
def is_rival(memory: Memory, unit: int, first: int) -> bool:
    """Whether a unit shares the layer of another, and nothing else puts either first."""
    one, other = memory[unit + PART], memory[first + PART]
    if memory[one + LAYER] != memory[other + LAYER]:
        return False
    if memory[unit + TOTAL] != memory[first + TOTAL]:
        return False
    return waits_for(memory, unit) == waits_for(memory, first)


@jit
def has_more(memory: Memory, one: int, other: int) -> bool:
    """Whether a unit has more left of the layer that both share."""
    left, other_left = memory[memory[one + PART] + LEFT], memory[memory[other + PART] + LEFT]
    if left != other_left:
        return bool(left > other_left)
    return asked_before(memory, one, other)


@jit
def asked_before(memory: Memory, one: int, other: int) -> bool:
    """Whether a unit asked for its first transfer before another."""
    turn = memory[memory[one + FIRST_REQUEST] + TURN]
    return bool(turn < memory[memory[other + FIRST_REQUEST] + TURN])
