"""What each command lets be given when, as in `replay.Channel`."""

from accelsim.dram.compiled.records import (
    ACTING,
    ACTIVATE_SLOTS,
    ACTIVATES,
    ACTIVE,
    BANK_OF,
    BUS_OF,
    CLOCK,
    COLUMN_SLOTS,
    COLUMNS_FREE,
    DONE,
    DONES,
    FOUR,
    FOURTH,
    GROUP_OF,
    HALVES,
    LAST_HALF,
    LATE,
    MISSING_FROM,
    MISSING_TO,
    N_AAD,
    N_BL,
    N_CCDL,
    N_CCDL_WR,
    N_CCDS,
    N_CL,
    N_FAW,
    N_PPD,
    N_RAS,
    N_RC,
    N_RCD,
    N_RCDWR,
    N_RP,
    N_RRDL,
    N_RRDS,
    N_RTP,
    OWED,
    READ_TO_WRITE,
    RECOVERY,
    ROW,
    ROW_OF,
    ROWS_FREE,
    SPLIT,
    TO_ACTIVATE,
    TO_PRECHARGE,
    TO_READ,
    TO_WRITE,
    WRITE_TO_READ,
    WRITE_TO_READ_L,
    Memory,
)
from accelsim.jit import jit


@jit
def not_before(memory: Memory, when: int, clock: int) -> None:
    """Let a command be given from a clock on, if it could be before."""
    memory[when] = max(memory[when], clock)


@jit
def commanded(memory: Memory, slots: int, column: bool) -> None:
    """A command has its bus for so many clocks; a shared one is for rows and columns."""
    if column or not memory[SPLIT]:
        memory[COLUMNS_FREE] = memory[CLOCK] + slots
    if not column or not memory[SPLIT]:
        memory[ROWS_FREE] = memory[CLOCK] + slots


@jit
def activate(memory: Memory, request: int) -> None:
    """Open the row of a request, which is served from then on before others of its bank."""
    now, late = memory[CLOCK], memory[CLOCK] + memory[LATE]
    bus, group = memory[request + BUS_OF], memory[request + GROUP_OF]
    bank = memory[request + BANK_OF]
    memory[memory[ACTIVE] + memory[ACTING]] = request
    memory[ACTING] += 1
    memory[ACTIVATES] += 1
    memory[bank + ROW] = memory[request + ROW_OF]
    memory[bank + OWED] += 1
    memory[bank + TO_ACTIVATE] = now + memory[N_RC]
    memory[bank + TO_READ] = late + memory[N_RCD]
    memory[bank + TO_WRITE] = late + memory[N_RCDWR]
    memory[bank + TO_PRECHARGE] = late + memory[N_RAS]
    not_before(memory, group + TO_ACTIVATE, now + memory[N_RRDL])
    not_before(memory, bus + TO_ACTIVATE, now + memory[N_RRDS])
    fourth = memory[bus + FOURTH]
    memory[bus + FOURTH + 1 + fourth] = now + memory[N_FAW]
    memory[bus + FOURTH] = (fourth + 1) % 4
    memory[bus + FOUR] = memory[bus + FOURTH + 1 + memory[bus + FOURTH]]
    if memory[N_AAD] < 0:
        commanded(memory, memory[ACTIVATE_SLOTS], False)
        return
    memory[bank + MISSING_FROM] = now + 1
    memory[bank + MISSING_TO] = now + memory[N_AAD]
    memory[memory[HALVES] + memory[LAST_HALF]] = bank
    memory[LAST_HALF] += 1


@jit
def complete(memory: Memory, bank: int) -> None:
    """The second command of an activate."""
    memory[bank + MISSING_FROM] = -1
    not_before(memory, bank + TO_READ, memory[CLOCK] + 1)
    not_before(memory, bank + TO_WRITE, memory[CLOCK] + 1)


@jit
def precharge(memory: Memory, request: int) -> None:
    """Close the row of a request's bank."""
    bus, bank = memory[request + BUS_OF], memory[request + BANK_OF]
    memory[bank + ROW] = -1
    not_before(memory, bank + TO_ACTIVATE, memory[CLOCK] + memory[N_RP] - memory[LATE])
    memory[bus + TO_PRECHARGE] = memory[CLOCK] + memory[N_PPD]


@jit
def read(memory: Memory, request: int) -> None:
    """Read a burst."""
    now = memory[CLOCK]
    bus, group = memory[request + BUS_OF], memory[request + GROUP_OF]
    bank = memory[request + BANK_OF]
    not_before(memory, bus + TO_READ, now + memory[N_CCDS])
    not_before(memory, group + TO_READ, now + memory[N_CCDL])
    not_before(memory, bus + TO_WRITE, now + memory[READ_TO_WRITE])
    not_before(memory, bank + TO_PRECHARGE, now + memory[N_RTP])
    commanded(memory, memory[COLUMN_SLOTS], True)
    note_done(memory, now + memory[N_CL] + memory[N_BL])


@jit
def write(memory: Memory, request: int) -> None:
    """Write a burst."""
    now = memory[CLOCK]
    bus, group = memory[request + BUS_OF], memory[request + GROUP_OF]
    bank = memory[request + BANK_OF]
    not_before(memory, bus + TO_WRITE, now + memory[N_CCDS])
    not_before(memory, group + TO_WRITE, now + memory[N_CCDL_WR])
    not_before(memory, bus + TO_READ, now + memory[WRITE_TO_READ])
    not_before(memory, group + TO_READ, now + memory[WRITE_TO_READ_L])
    not_before(memory, bank + TO_PRECHARGE, now + memory[RECOVERY])
    commanded(memory, memory[COLUMN_SLOTS], True)
    note_done(memory, now)


@jit
def note_done(memory: Memory, clock: int) -> None:
    """Remember when a request is done."""
    memory[memory[DONES] + memory[DONE]] = clock
    memory[DONE] += 1
