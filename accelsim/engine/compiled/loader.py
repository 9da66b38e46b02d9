"""A unit's loader, as in `unit.Unit`: task by task, until something is missing."""

from accelsim.engine.compiled.channel import transfer
from accelsim.engine.compiled.events import is_open
from accelsim.engine.compiled.records import (
    AHEAD,
    ARRIVAL,
    ASK,
    ASKED,
    ASKS,
    ASKS_END,
    AWAITED,
    BLOCKED_IN,
    BUFFER,
    BUFFERS,
    CROWDED,
    CURRENT,
    CYCLES,
    ENTRY,
    FILTERS,
    FINISHES,
    FIRST_LOADED,
    FRAME,
    FRAME_ENTRY,
    FRAME_LEFT,
    FRAME_NEST,
    FRAME_SIZE,
    FRAMES,
    FREE_ITEM,
    FROM,
    HAS_ROOM,
    INDEX,
    INPUTS,
    ITEM,
    LAST_LOADED,
    LAYER,
    LEFT,
    LOADS,
    MOST,
    NEEDS_INPUTS,
    NEST,
    NEXT,
    NOW,
    OF,
    OWNER,
    PART,
    PENDING,
    PSUMS_BEHIND,
    ROOM_AT,
    SIZE,
    SPILLED,
    STATUS,
    STEP,
    STORE_CYCLES,
    STORING,
    TASKS,
    TIMES,
    TO,
    TO_PLAY,
    TOO_MANY,
    TRANSFER,
    TRIGGERED,
    WORK,
    Memory,
)
from accelsim.engine.compiled.rooms import is_shared, reserve, room_of, serve, space_in
from accelsim.engine.compiled.units import open_line, take_next
from accelsim.jit import jit


@jit
def next_task(memory: Memory, unit: int) -> bool:
    """Turn to the next task, or the next layer's first; whether there is one."""
    step = next_step(memory, unit)
    while not step:
        if not memory[memory[unit + TO_PLAY]]:
            leave_room(memory, unit)
            return False
        next_layer(memory, unit)
        step = next_step(memory, unit)
    task = memory[FREE_ITEM]
    if not task:
        memory[STATUS] = TOO_MANY
        return False
    memory[FREE_ITEM] = memory[task + NEXT]
    memory[unit + TASKS] += 1
    memory[unit + ITEM] = task
    memory[unit + ASKED] = memory[step + ASKS]
    note_task(memory, task, step, unit)
    return True


@jit
def note_task(memory: Memory, task: int, step: int, unit: int) -> None:
    """Fill in a task that a loader has begun with."""
    memory[task + STEP] = step
    memory[task + OF] = memory[unit + PART]
    memory[task + OWNER] = unit
    memory[task + INDEX] = memory[unit + TASKS]
    memory[task + PENDING] = memory[step + LOADS]
    memory[task + ARRIVAL] = 0
    memory[task + CROWDED] = 0
    memory[task + NEXT] = 0


@jit
def next_step(memory: Memory, unit: int) -> int:
    """The next step of the layer, as in `cursor.Cursor`; 0 behind the last."""
    while memory[unit + FRAME] >= memory[unit + FRAMES]:
        frame = memory[unit + FRAME]
        entry = memory[frame + FRAME_ENTRY]
        if entry < memory[memory[frame + FRAME_NEST] + TO]:
            memory[frame + FRAME_ENTRY] += 2
            if not memory[entry + TIMES]:
                return int(memory[entry + ENTRY])
            enter(memory, unit, memory[entry + ENTRY], memory[entry + TIMES] - 1)
        elif memory[frame + FRAME_LEFT]:
            memory[frame + FRAME_LEFT] -= 1
            memory[frame + FRAME_ENTRY] = memory[memory[frame + FRAME_NEST] + FROM]
        else:
            memory[unit + FRAME] -= FRAME_SIZE
    return 0


@jit
def enter(memory: Memory, unit: int, nest: int, left: int) -> None:
    """Begin with a nest, which is to come again so many times."""
    memory[unit + FRAME] += FRAME_SIZE
    frame = memory[unit + FRAME]
    memory[frame + FRAME_NEST] = nest
    memory[frame + FRAME_ENTRY] = memory[nest + FROM]
    memory[frame + FRAME_LEFT] = left


@jit
def next_layer(memory: Memory, unit: int) -> None:
    """Turn to the first layer whose inputs exist; if none, the first, whose filters can load."""
    first = memory[unit + TO_PLAY]
    place = first
    while memory[place] and not is_ready(memory, memory[place]):
        place += 1
    if not memory[place]:
        place = first
    part = memory[place]
    while memory[place]:
        memory[place] = memory[place + 1]
        place += 1
    memory[unit + PART] = part
    enter(memory, unit, memory[part + NEST], 0)
    leave_room(memory, unit)


@jit
def is_ready(memory: Memory, part: int) -> bool:
    """Whether the inputs of a layer exist."""
    return bool(memory[memory[memory[part + LAYER] + INPUTS] + TRIGGERED])


@jit
def leave_room(memory: Memory, unit: int) -> None:
    """Let others have what was kept for this unit's next tile."""
    for buffer in range(memory[BUFFERS]):
        serve(memory, room_of(memory, unit, buffer))


@jit
def may_ask(memory: Memory, unit: int, ask: int) -> bool:
    """Whether what a task asks for next can be had; if not, the loader goes on when it can."""
    layer = memory[memory[unit + PART] + LAYER]
    gate = memory[layer + (INPUTS if memory[ask + NEEDS_INPUTS] else FILTERS)]
    if not is_open(memory, gate, unit):
        return False
    behind = memory[ask + PSUMS_BEHIND]
    if behind and awaits_psums(memory, unit, memory[memory[unit + ITEM] + INDEX] - behind):
        return False
    if memory[unit + HAS_ROOM]:
        memory[unit + HAS_ROOM] = 0
        return True
    return has_reserved(memory, unit, ask)


@jit
def awaits_psums(memory: Memory, unit: int, stored: int) -> bool:
    """Whether the psums of a task are still being stored; if so, the loader goes on then."""
    if stored <= 0 or memory[memory[unit + SPILLED] + stored % memory[MOST]] != stored:
        stored = 0
    memory[unit + AWAITED] = stored
    return bool(stored > 0)


@jit
def has_reserved(memory: Memory, unit: int, ask: int) -> bool:
    """Take room for an ask; if that must wait, the loader goes on when it is there."""
    room = room_of(memory, unit, memory[ask + BUFFER])
    space = space_in(memory, memory[unit + PART], room)
    if reserve(memory, unit, room, memory[ask + SIZE], space):
        return True
    crowded = not memory[unit + STORING] and is_shared(memory, unit, room)
    memory[memory[unit + ITEM] + CROWDED] = crowded
    memory[unit + BLOCKED_IN] = room
    return False


@jit
def ask_for(memory: Memory, unit: int, ask: int) -> None:
    """Go on to the next ask, after the transfer into the room of this one."""
    memory[unit + ASKED] += ASK
    if memory[ask + TRANSFER] >= 0:
        open_line(memory, memory[unit + PART])
        transfer(memory, memory[unit + ITEM], memory[ask + TRANSFER], 0)


@jit
def has_asked(memory: Memory, unit: int) -> bool:
    """Whether all that a task needs has been asked for."""
    return bool(memory[unit + ASKED] == memory[memory[memory[unit + ITEM] + STEP] + ASKS_END])


@jit
def hand_over(memory: Memory, unit: int) -> None:
    """Queue a task for the computation, which begins with it if it has nothing else to do."""
    task = memory[unit + ITEM]
    step = memory[task + STEP]
    memory[task + ROOM_AT] = memory[NOW]
    memory[unit + ITEM] = 0
    memory[unit + WORK] += memory[step + CYCLES]
    memory[memory[task + OF] + LEFT] -= memory[step + CYCLES]
    if memory[step + STORE_CYCLES] >= 0 and not memory[step + FINISHES]:
        note_spilled(memory, unit, memory[task + INDEX])
    if memory[unit + LAST_LOADED]:
        memory[memory[unit + LAST_LOADED] + NEXT] = task
    else:
        memory[unit + FIRST_LOADED] = task
    memory[unit + LAST_LOADED] = task
    memory[unit + AHEAD] += 1
    if not memory[unit + CURRENT]:
        take_next(memory, unit)


@jit
def note_spilled(memory: Memory, unit: int, index: int) -> None:
    """Remember that a task's psums are on the way to DRAM."""
    place = memory[unit + SPILLED] + index % memory[MOST]
    if memory[place]:
        memory[STATUS] = TOO_MANY
    memory[place] = index
