"""The controller, as in `replay.Channel`: first ready, first come first served."""

from accelsim.dram.compiled.commands import activate, complete, precharge, read, write
from accelsim.dram.compiled.records import (
    ACTING,
    ACTIVE,
    BANK_OF,
    BUS_OF,
    CLOCK,
    COLUMN_SLOTS,
    COLUMNS_FREE,
    COUNT,
    DRAINING,
    FIRST_HALF,
    FOUR,
    GROUP_OF,
    HALVES,
    HIT_REFUSED,
    IS_WRITE,
    LAST_HALF,
    MISSING_FROM,
    MISSING_TO,
    NEVER,
    OTHER_REFUSED,
    OWED,
    QUEUE,
    READING,
    READS,
    REQUEST,
    REQUESTS,
    ROW,
    ROW_OF,
    ROWS_FREE,
    SCAN,
    SPLIT,
    TO_ACTIVATE,
    TO_PRECHARGE,
    TO_READ,
    TO_WRITE,
    WRITES,
    WRITING,
    Memory,
)
from accelsim.jit import entry, jit

WRITES_HIGH, WRITES_LOW = 0.8, 0.2


@entry
def replay_all(memory: Memory) -> None:
    """Serve all requests, each asked for as soon as there is room."""
    coming = memory[REQUESTS]
    end = coming + REQUEST * memory[COUNT]
    while coming < end or memory[READING] or memory[WRITING] or memory[ACTING]:
        while coming < end and has_queued(memory, coming):
            coming += REQUEST
        choose_direction(memory)
        if memory[SPLIT]:
            wake = issue(memory, True, False)
            wake = min(wake, issue(memory, False, True))
        else:
            wake = issue(memory, True, True)
        free = min(memory[ROWS_FREE], memory[COLUMNS_FREE])
        memory[CLOCK] = max(memory[CLOCK] + 1, free, wake)


@jit
def has_queued(memory: Memory, request: int) -> bool:
    """Whether there was room in the queue of a request, which is in it now."""
    length = WRITING if memory[request + IS_WRITE] else READING
    queue = WRITES if memory[request + IS_WRITE] else READS
    if memory[length] >= memory[QUEUE]:
        return False
    memory[memory[queue] + memory[length]] = request
    memory[length] += 1
    return True


@jit
def choose_direction(memory: Memory) -> None:
    """Drain the writes if they are many, until they are few, or if there is nothing to read."""
    waiting, reads = memory[WRITING], memory[READING]
    if memory[DRAINING]:
        memory[DRAINING] = not (waiting < WRITES_LOW * memory[QUEUE] and reads)
    else:
        memory[DRAINING] = waiting > WRITES_HIGH * memory[QUEUE] or not reads


@jit
def issue(memory: Memory, columns: bool, rows: bool) -> int:
    """Give the best such command if one is ready, and return 0, else when one may be."""
    if must_complete(memory):
        return 0
    wake = NEVER
    if columns:
        wake = first_ready(memory, ACTIVE, ACTING, columns, rows)
    if wake and memory[DRAINING]:
        wake = min(wake, first_ready(memory, WRITES, WRITING, columns, rows))
    elif wake:
        wake = min(wake, first_ready(memory, READS, READING, columns, rows))
    return wake


@jit
def must_complete(memory: Memory) -> bool:
    """Give the second command of an activate that can wait no longer, if there is one."""
    while memory[FIRST_HALF] < memory[LAST_HALF]:
        bank = memory[memory[HALVES] + memory[FIRST_HALF]]
        if memory[bank + MISSING_FROM] >= 0:
            due = memory[CLOCK] + memory[COLUMN_SLOTS] > memory[bank + MISSING_TO]
            if due:
                complete(memory, bank)
            return bool(due)
        memory[FIRST_HALF] += 1
    return False


@jit
def first_ready(memory: Memory, queue: int, length: int, columns: bool, rows: bool) -> int:
    """Issue for the oldest request that is ready; 0 if there is one, else when one may be."""
    memory[SCAN] += 1
    scan, wake, first = memory[SCAN], NEVER, memory[queue]
    for place in range(first, first + memory[length]):
        request = memory[place]
        bank = memory[request + BANK_OF]
        is_hit = memory[bank + ROW] == memory[request + ROW_OF]
        refused = bank + (HIT_REFUSED if is_hit else OTHER_REFUSED)
        if memory[refused] == scan:
            continue
        memory[refused] = scan
        if not (columns if is_hit else rows):
            continue
        ready = ready_at(memory, request)
        if ready <= memory[CLOCK]:
            give(memory, queue, length, place)
            return 0
        wake = min(wake, ready)
    return wake


@jit
def ready_at(memory: Memory, request: int) -> int:
    """The clock from which the command may be given that the request needs next."""
    bus, group = memory[request + BUS_OF], memory[request + GROUP_OF]
    bank = memory[request + BANK_OF]
    if memory[bank + ROW] < 0:
        free = max(memory[bus + TO_ACTIVATE], memory[group + TO_ACTIVATE])
        free = max(free, memory[bank + TO_ACTIVATE], memory[bus + FOUR])
        return int(max(free, memory[ROWS_FREE]))
    if memory[bank + ROW] != memory[request + ROW_OF]:
        if memory[bank + OWED]:
            return NEVER
        free = max(memory[bus + TO_PRECHARGE], memory[bank + TO_PRECHARGE])
        return int(max(free, memory[ROWS_FREE]))
    if memory[bank + MISSING_FROM] >= 0:
        return int(memory[bank + MISSING_FROM])
    when = TO_WRITE if memory[request + IS_WRITE] else TO_READ
    free = max(memory[bus + when], memory[group + when])
    return int(max(free, memory[bank + when], memory[COLUMNS_FREE]))


@jit
def give(memory: Memory, queue: int, length: int, place: int) -> None:
    """Give a request's next command, which takes it out of its queue if it opens or uses a row."""
    request = memory[place]
    bank = memory[request + BANK_OF]
    if memory[bank + ROW] >= 0 and memory[bank + ROW] != memory[request + ROW_OF]:
        precharge(memory, request)
        return
    if memory[bank + MISSING_FROM] >= 0:
        complete(memory, bank)
        return
    take_out(memory, queue, length, place)
    if memory[bank + ROW] < 0:
        activate(memory, request)
        return
    if queue == ACTIVE:
        memory[bank + OWED] -= 1
    if memory[request + IS_WRITE]:
        write(memory, request)
    else:
        read(memory, request)


@jit
def take_out(memory: Memory, queue: int, length: int, place: int) -> None:
    """Take a request out of its queue."""
    memory[length] -= 1
    for each in range(place, memory[queue] + memory[length]):
        memory[each] = memory[each + 1]
