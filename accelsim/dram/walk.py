"""What many runs ask of a channel's banks, walked along the address map.

The controller sees a queue of bursts at a time, and what goes on at a time goes on in as many
banks, bank groups and data buses as these lie in: runs whose pitch is about a power of two start in
few banks for long, though in all of them one after another.

Where R rows of a bank take turns, an open one is served until no burst of it waits. S bursts come
in during each visit, S/R of each row, so the row that was left k visits ago has k*S/R in the queue
of Q, together S*(R-1)/2 = Q: a turn of all R rows opens R-1 new ones for every 2*Q bursts. So rows
are opened once in two queues, but where a bank goes on with its row.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from accelsim.dram.pattern import GROUP_BURSTS
from accelsim.dram.sheet import DramTiming

Whole = NDArray[np.int64]

SAMPLE = 256
"""Bursts on each channel that stand for many: mostly within 8 % of ten times as many."""

ROW_CYCLES = 10
"""They take as many row cycles of a data bus at least: banks that are not ready are seen then."""


def sample_of(sheet: DramTiming) -> int:
    """Bursts on each channel that stand for many: more where a row cycle is long for the bus."""
    return max(SAMPLE, ROW_CYCLES * -(-sheet.nRC // sheet.nBL))


@dataclass(frozen=True, slots=True)
class Walk:
    """What one of many runs needs of the channel with most bursts, and in how many banks, groups
    and data buses those in the queue lie: the harmonic mean over all queues.

    `visits` are rows opened for it there, `rows` those in all channels.
    """

    bursts: float
    visits: float
    banks: float
    groups: float
    buses: float
    rows: float


def walk(sheet: DramTiming, size: int, pitch: int) -> Walk:
    """One of many runs of `size` bytes, one every `pitch` bytes: as many as a replay looks at."""
    bursts, runs = _bursts(sheet, size, pitch)
    channel = bursts % sheet.channels
    turns = bursts[channel == np.bincount(channel).argmax()] // sheet.channels
    bank, row = _places(sheet, turns)
    opened = _opened(bank, row, 2 * sheet.channel_queue)
    apart = (sheet.channel_banks, sheet.data_buses * sheet.bank_groups, sheet.data_buses)
    banks, groups, buses = (_in_queue(bank % unit, sheet.channel_queue) for unit in apart)
    return Walk(
        bursts=len(turns) / runs,
        visits=opened / runs,
        banks=banks,
        groups=groups,
        buses=buses,
        rows=opened / runs * len(bursts) / len(turns),
    )


def _bursts(sheet: DramTiming, size: int, pitch: int) -> tuple[Whole, float]:
    """Bursts of all channels one after another, each one once, and how many runs they are."""
    wanted, burst = sample_of(sheet) * sheet.channels, sheet.burst_bytes
    each = pitch / burst if pitch < burst else max(min(size, pitch) / burst, 1)  # at least
    starts = np.arange(int(wanted / each) + 2) * pitch
    behind = -(-(starts + size) // burst)
    first = np.maximum(starts // burst, np.concatenate([[0], behind[:-1]]))
    ends = np.cumsum(behind - first)
    found = np.repeat(behind - ends, behind - first) + np.arange(ends[-1])
    runs = np.interp(wanted, np.concatenate([[0], ends]), np.arange(len(ends) + 1))
    return found[:wanted], float(runs)


def _places(sheet: DramTiming, turns: Whole) -> tuple[Whole, Whole]:
    """Banks, as the address has them, and rows of bursts of a channel: as `pattern.place_of`."""
    rest, low = np.divmod(turns, GROUP_BURSTS)
    rest, bank = np.divmod(rest, sheet.channel_banks)
    row, high = np.divmod(rest, sheet.row_bursts // GROUP_BURSTS)
    column = high * GROUP_BURSTS + low
    return bank ^ column % sheet.channel_banks, row ^ column // sheet.channel_banks


def _before(keys: Whole) -> Whole:
    """Where each key was last before; -1: nowhere."""
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
    found = np.full(len(keys), -1)
    found[order[same + 1]] = order[same]
    return found


def _opened(bank: Whole, row: Whole, turn: int) -> float:
    """Rows that are opened: for the first burst of each row in a turn, in the mean of all ways to
    part the bursts into turns, but for one that follows a burst of its row in its bank."""
    in_bank, in_row = _before(bank), _before(row * (bank.max() + 1) + bank)
    apart = np.where(in_row < 0, turn, np.minimum(np.arange(len(bank)) - in_row, turn))
    goes_on = (in_row >= 0) & (in_bank == in_row)
    return float(apart[~goes_on].sum() / turn)


def _in_queue(unit: Whole, queue: int) -> float:
    """In how many units the bursts of a queue lie: the harmonic mean over all queues.

    A burst is the first one of its unit in those queues that begin behind the one before it.
    """
    at = np.arange(len(unit))
    begin = np.maximum(_before(unit), at - queue) + 1
    steps = np.bincount(begin, minlength=len(unit) + 1)
    steps[1:] -= 1
    full = max(len(unit) - queue, 0) + 1
    return float(1 / np.mean(1 / np.cumsum(steps)[:full]))
