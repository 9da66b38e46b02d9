"""Arrays and vector units, as in `unit.Unit`: computing and putting away."""

from accelsim.engine.compiled.channel import await_arrival, transfer
from accelsim.engine.compiled.events import (
    END,
    FINISH,
    GO_ON,
    MOVE,
    STORE,
    after,
    call,
    soon,
    trigger,
)
from accelsim.engine.compiled.records import (
    AHEAD,
    AWAITED,
    AWAY,
    BEGUN,
    BLOCKED_IN,
    BUFFER,
    BUSY_UNTIL,
    CHANGEOVER,
    CLOSE,
    CLOSES,
    CLOSES_END,
    COMPUTED,
    CROWDED,
    CURRENT,
    CYCLES,
    DATAFLOW,
    DONE,
    DRAINED_AT,
    FINISHES,
    FIRST_LOADED,
    FLOW,
    FREE_AT,
    FREE_ITEM,
    FREES,
    FREES_SIZE,
    INDEX,
    INPUTS,
    LAST_LOADED,
    LAYER,
    LINE_BEGUN,
    LINE_TAIL,
    MOST,
    MOVE_CYCLES,
    MOVES_INTO,
    NEXT,
    NOW,
    OF,
    OPEN,
    OPENED_AT,
    OTHER_LAYER,
    OWNER,
    PARTS,
    PENDING,
    PUTS_AWAY,
    READ_WAIT,
    ROOM_AT,
    SIZE,
    SPILLED,
    STEP,
    STORE_CYCLES,
    STORED,
    STORED_SIZE,
    STORING,
    TAIL,
    UNFINISHED,
    WRITE_WAIT,
    Memory,
)
from accelsim.engine.compiled.rooms import move_into, release, room_of, serve
from accelsim.jit import jit


@jit
def take_next(memory: Memory, unit: int) -> None:
    """Take the next loaded task and start it when its operands have arrived."""
    task = memory[unit + FIRST_LOADED]
    memory[unit + CURRENT] = task
    if not task:
        return
    memory[unit + FIRST_LOADED] = memory[task + NEXT]
    if not memory[task + NEXT]:
        memory[unit + LAST_LOADED] = 0
    change_over(memory, unit, memory[memory[memory[task + OF] + LAYER] + DATAFLOW])
    if not memory[task + PENDING]:
        await_arrival(memory, task)


@jit
def change_over(memory: Memory, unit: int, dataflow: int) -> None:
    """If another dataflow comes, be free only when the array has drained and is set to it."""
    if dataflow == memory[unit + FLOW]:
        return
    if memory[unit + FLOW]:
        drained = max(memory[unit + FREE_AT], memory[unit + DRAINED_AT])
        memory[unit + FREE_AT] = drained + memory[CHANGEOVER]
    memory[unit + FLOW] = dataflow


@jit
def start(memory: Memory, task: int) -> None:
    """Compute a tile."""
    note_wait(memory, task)
    unit, cycles = memory[task + OWNER], memory[memory[task + STEP] + CYCLES]
    memory[unit + BEGUN] += cycles
    memory[unit + BUSY_UNTIL] = memory[NOW] + cycles
    after(memory, cycles, FINISH, task)


@jit
def note_wait(memory: Memory, task: int) -> None:
    """Say what the unit waited for before the task that starts now."""
    now, part = memory[NOW], memory[task + OF]
    open_line(memory, part)
    ready_at = memory[memory[memory[part + LAYER] + INPUTS] + OPENED_AT]
    begun = max(memory[part + LINE_BEGUN], ready_at)
    free = max(begun, memory[memory[task + OWNER] + FREE_AT])
    if not memory[part + COMPUTED]:
        memory[part + OTHER_LAYER] += free - begun
    roomy = min(max(free, memory[task + ROOM_AT]), now)
    if memory[task + CROWDED]:
        memory[part + OTHER_LAYER] += roomy - free
    else:
        memory[part + WRITE_WAIT] += roomy - free
    memory[part + READ_WAIT] += now - roomy


@jit
def open_line(memory: Memory, part: int) -> None:
    """Begin a core's record of a layer, with its first activity."""
    if not memory[part + OPEN]:
        memory[part + OPEN] = 1
        memory[part + LINE_BEGUN] = memory[NOW]


@jit
def finish(memory: Memory, task: int) -> None:
    """Free what a computed tile no longer needs, put it away, and go on with the next."""
    unit, part, step = memory[task + OWNER], memory[task + OF], memory[task + STEP]
    memory[unit + FREE_AT] = memory[NOW]
    memory[unit + DRAINED_AT] = memory[NOW] + memory[step + TAIL]
    memory[unit + CURRENT] = 0
    memory[unit + AHEAD] -= 1
    memory[part + COMPUTED] = memory[NOW]
    for room in range(memory[step + CLOSES], memory[step + CLOSES_END], CLOSE):
        release(memory, unit, part, memory[room + BUFFER], memory[room + SIZE])
    call(memory, GO_ON, unit)
    if memory[step + PUTS_AWAY]:
        memory[unit + STORING] += 1
        after(memory, memory[step + TAIL], MOVE, task)
    else:
        forget(memory, task)


@jit
def go_on(memory: Memory, unit: int) -> None:
    """Compute the next tile; the loader, if it waits for room, asks for the one after now."""
    if memory[unit + BLOCKED_IN] and memory[unit + AHEAD] == 1:
        serve(memory, memory[unit + BLOCKED_IN])
    take_next(memory, unit)


@jit
def move(memory: Memory, task: int) -> None:
    """Bring a tile to its place on chip, if it has one; its last result has left the array."""
    step, cycles = memory[task + STEP], 0
    if memory[step + MOVE_CYCLES] and memory[step + MOVES_INTO] >= 0:
        room = room_of(memory, memory[task + OWNER], memory[step + MOVES_INTO])
        cycles = move_into(memory, room, memory[step + MOVE_CYCLES])
    after(memory, cycles, STORE, task)


@jit
def store(memory: Memory, task: int) -> None:
    """Free the room of a tile that lies in its place, and store it, if DRAM needs it."""
    unit, part, step = memory[task + OWNER], memory[task + OF], memory[task + STEP]
    if memory[step + FREES] >= 0:
        release(memory, unit, part, memory[step + FREES], memory[step + FREES_SIZE])
    if memory[step + STORE_CYCLES] < 0:
        call(memory, END, task)
    else:
        transfer(memory, task, memory[step + STORE_CYCLES], 1)


@jit
def end(memory: Memory, task: int) -> None:
    """Note that a tile has been put away, and free its room if it had it till now."""
    unit, part, step = memory[task + OWNER], memory[task + OF], memory[task + STEP]
    index = memory[task + INDEX]
    if memory[step + STORED] >= 0:
        release(memory, unit, part, memory[step + STORED], memory[step + STORED_SIZE])
    memory[unit + STORING] -= 1
    memory[part + AWAY] = memory[NOW]
    memory[part + LINE_TAIL] = memory[step + TAIL]
    forget(memory, task)
    if memory[step + FINISHES]:
        tile_finished(memory, part)
        return
    memory[memory[unit + SPILLED] + index % memory[MOST]] = 0
    if memory[unit + AWAITED] == index:
        memory[unit + AWAITED] = 0
        soon(memory, unit)


@jit
def tile_finished(memory: Memory, part: int) -> None:
    """Count an ofmap tile; the last one of the last part completes the layer."""
    memory[part + UNFINISHED] -= 1
    if memory[part + UNFINISHED]:
        return
    layer = memory[part + LAYER]
    memory[layer + PARTS] -= 1
    if not memory[layer + PARTS]:
        trigger(memory, memory[layer + DONE])


@jit
def forget(memory: Memory, task: int) -> None:
    """Let another task have the record of one that is gone."""
    memory[task + NEXT] = memory[FREE_ITEM]
    memory[FREE_ITEM] = task
