"""Room in buffers, as in `memory.Buffer`: two units share the buffers of a core."""

from accelsim.engine.compiled.events import soon
from accelsim.engine.compiled.records import (
    AHEAD,
    BLOCKED_IN,
    BYTES,
    FIRST_WISH,
    HAS_ROOM,
    HELD_BY,
    INDEX_OF,
    INPUTS,
    ITEM,
    KIND,
    LAYER,
    MOVES_UNTIL,
    NOW,
    OTHER,
    PAIRS,
    PART,
    PROCESSED,
    ROOM_SIZE,
    ROOMS,
    SECOND_WISH,
    SPACE_SIZES,
    SPACES,
    SPACES_END,
    TAKEN,
    WISH_SIZE,
    WISH_SPACE,
    Memory,
)
from accelsim.jit import jit


@jit
def room_of(memory: Memory, unit: int, buffer: int) -> int:
    """A buffer of a unit's core."""
    return int(memory[unit + ROOMS] + memory[ROOM_SIZE] * buffer)


@jit
def space_in(memory: Memory, part: int, room: int) -> int:
    """Which space of a buffer the tiles of a part lie in."""
    return int(memory[memory[part + LAYER] + SPACES + memory[room + INDEX_OF]])


@jit
def reserve(memory: Memory, unit: int, room: int, size: int, space: int) -> bool:
    """Take room for a unit; if that must wait, it is told in time."""
    if not size:
        return True
    first = memory[room + FIRST_WISH]
    if not first and can_grant(memory, unit, room, size, space):
        take(memory, unit, room, size, space)
        return True
    memory[unit + WISH_SIZE] = size
    memory[unit + WISH_SPACE] = space
    if first:
        memory[room + SECOND_WISH] = unit
        serve(memory, room)
    else:
        memory[room + FIRST_WISH] = unit
    return False


@jit
def release(memory: Memory, unit: int, part: int, buffer: int, size: int) -> None:
    """Give room of a part's tile back and serve those who wait."""
    room = room_of(memory, unit, buffer)
    take(memory, unit, room, -size, space_in(memory, part, room))
    serve(memory, room)


@jit
def serve(memory: Memory, room: int) -> None:
    """Grant all wishes that can be granted now."""
    while memory[room + FIRST_WISH]:
        unit = next_wish(memory, room)
        if not unit:
            return
        if memory[room + FIRST_WISH] == unit:
            memory[room + FIRST_WISH] = memory[room + SECOND_WISH]
        memory[room + SECOND_WISH] = 0
        take(memory, unit, room, memory[unit + WISH_SIZE], memory[unit + WISH_SPACE])
        memory[unit + HAS_ROOM] = 1
        memory[unit + BLOCKED_IN] = 0
        soon(memory, unit)


@jit
def next_wish(memory: Memory, room: int) -> int:
    """Whose turn it is, if there is room; 0: nobody's."""
    first, second = memory[room + FIRST_WISH], memory[room + SECOND_WISH]
    if second and memory[second + AHEAD] < memory[first + AHEAD]:
        first, second = second, first
    unit = first
    while unit:
        size, space = memory[unit + WISH_SIZE], memory[unit + WISH_SPACE]
        if can_grant(memory, unit, room, size, space):
            return int(unit)
        if unit == second or not has_room(memory, room, size, space, 0, space):
            return 0
        unit = second
    return 0


@jit
def can_grant(memory: Memory, unit: int, room: int, size: int, space: int) -> bool:
    """Whether there is room, and for more than a next tile without that for the other's next."""
    if not has_room(memory, room, size, space, 0, space):
        return False
    other = memory[unit + OTHER]
    held = memory[room + HELD_BY + memory[other + KIND]]
    if memory[unit + AHEAD] < 2 or held < 0:
        return True
    unmet = pair(memory, other, room) - held
    if unmet <= 0:
        return True
    within = space_in(memory, memory[other + PART], room)
    return has_room(memory, room, size, space, unmet, within)


@jit
def pair(memory: Memory, unit: int, room: int) -> int:
    """Room for the tile that a unit computes and the next one, if it can load for its layer."""
    part = memory[unit + PART]
    if not part or not memory[unit + ITEM]:
        return 0
    if not memory[memory[memory[part + LAYER] + INPUTS] + PROCESSED]:
        return 0
    return int(memory[part + PAIRS + memory[room + INDEX_OF]])


@jit
def is_shared(memory: Memory, unit: int, room: int) -> bool:
    """Whether the other unit has room here, or must have it left."""
    other = memory[unit + OTHER]
    held = memory[room + HELD_BY + memory[other + KIND]]
    return bool(held > 0 or (held == 0 and pair(memory, other, room) > 0))


@jit
def has_room(memory: Memory, room: int, size: int, space: int, more: int, within: int) -> bool:
    """Whether `size` more bytes in a space, and `more` in another, leave all their place."""
    sizes, total = memory[room + SPACE_SIZES], 0
    for each in range(memory[room + SPACES_END] - sizes):
        here = memory[room + TAKEN + each]
        if each == space:
            here += size
        if each == within:
            here += more
        total += here
        limit = min(memory[sizes + each], memory[room + BYTES])
        if here and each >= space and total > limit:
            return False
    return True


@jit
def take(memory: Memory, unit: int, room: int, size: int, space: int) -> None:
    """Count bytes more (or less) as taken."""
    held = room + HELD_BY + memory[unit + KIND]
    memory[held] = max(memory[held], 0) + size
    memory[room + TAKEN + space] += size


@jit
def move_into(memory: Memory, room: int, cycles: int) -> int:
    """Bring something in after all that was asked for before; in how many cycles it is in."""
    now = memory[NOW]
    memory[room + MOVES_UNTIL] = max(now, memory[room + MOVES_UNTIL]) + cycles
    return int(memory[room + MOVES_UNTIL] - now)
