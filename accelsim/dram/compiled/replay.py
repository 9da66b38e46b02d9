"""Lays a channel and its accesses out in memory, and replays them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from accelsim.dram.compiled import records as r
from accelsim.dram.compiled.controller import replay_all
from accelsim.dram.compiled.records import Memory
from accelsim.dram.pattern import Access, place_of
from accelsim.dram.sheet import DramTiming


def replay_compiled(sheet: DramTiming, accesses: Sequence[Access]) -> tuple[list[int], int]:
    """When each access that was served is done, in clocks, and the activates; without refresh."""
    memory = _laid(sheet, accesses)
    replay_all(memory)
    first = memory[r.DONES]
    return memory[first : first + memory[r.DONE]].tolist(), int(memory[r.ACTIVATES])


def _laid(sheet: DramTiming, accesses: Sequence[Access]) -> Memory:
    """The channel before its first clock."""
    count, queue = len(accesses), sheet.channel_queue
    groups = sheet.data_buses * sheet.bank_groups
    buses, end = r.CHANNEL, r.CHANNEL + r.BUS * sheet.data_buses
    first_group, end = end, end + r.TIMES * groups
    banks, end = end, end + r.BANK * sheet.channel_banks
    lists, end = end, end + 2 * queue + 3 * count
    requests, end = end, end + r.REQUEST * count
    memory = np.zeros(end, np.int64)
    memory[buses:lists] = r.LONG_AGO
    for bank in range(banks, lists, r.BANK):
        memory[bank + r.ROW : bank + r.BANK] = -1, 0, 0, 0, -1, 0
    for bus in range(buses, first_group, r.BUS):
        memory[bus + r.FOURTH] = 0
    _note_sheet(memory, sheet)
    memory[[r.REQUESTS, r.COUNT, r.QUEUE]] = requests, count, queue
    memory[[r.READS, r.WRITES, r.ACTIVE]] = lists, lists + queue, lists + 2 * queue
    memory[[r.HALVES, r.DONES]] = lists + 2 * queue + count, lists + 2 * queue + 2 * count
    memory[[r.ROWS_FREE, r.COLUMNS_FREE]] = r.LONG_AGO
    memory[requests:] = _requests(sheet, accesses, (buses, first_group, banks))
    return memory


def _requests(
    sheet: DramTiming, accesses: Sequence[Access], firsts: tuple[int, int, int]
) -> Memory:
    """The records of all requests, given where the first bus, group and bank are."""
    buses, groups, banks = firsts
    addresses, writes = np.array(accesses, np.int64).reshape(-1, 2).T
    place: Any = place_of(sheet, addresses)  # type: ignore[arg-type]  # of all at once
    records = np.empty((len(accesses), r.REQUEST), np.int64)
    records[:, r.BUS_OF] = buses + r.BUS * place.bus
    records[:, r.GROUP_OF] = groups + r.TIMES * (place.bank // sheet.banks)
    records[:, r.BANK_OF] = banks + r.BANK * place.bank
    records[:, r.ROW_OF] = place.row
    records[:, r.IS_WRITE] = writes
    return records.ravel()


def _note_sheet(memory: Memory, sheet: DramTiming) -> None:
    """The timings of a sheet; what it leaves out is what stands in for that."""
    is_split = sheet.command_bus == "split"
    noted = {
        r.SPLIT: is_split,
        r.LATE: sheet.activate_slots - 1 if is_split else 0,
        r.N_RC: sheet.nRC,
        r.N_RCD: sheet.nRCD,
        r.N_RCDWR: sheet.nRCDWR or sheet.nRCD,
        r.N_RAS: sheet.nRAS,
        r.N_RRDL: sheet.nRRDL,
        r.N_RRDS: sheet.nRRDS,
        r.N_FAW: sheet.nFAW,
        r.N_AAD: -1 if sheet.nAAD is None else sheet.nAAD,
        r.N_RP: sheet.nRP,
        r.N_PPD: sheet.nPPD or 1,
        r.N_CCDS: sheet.nCCDS,
        r.N_CCDL: sheet.nCCDL,
        r.N_CCDL_WR: sheet.nCCDL_WR or sheet.nCCDL,
        r.N_RTP: sheet.nRTP,
        r.N_CL: sheet.nCL,
        r.N_BL: sheet.nBL,
        r.READ_TO_WRITE: sheet.read_to_write,
        r.WRITE_TO_READ: sheet.write_to_read(within_group=False),
        r.WRITE_TO_READ_L: sheet.write_to_read(within_group=True),
        r.RECOVERY: sheet.nCWL + sheet.nBL + sheet.nWR,
        r.ACTIVATE_SLOTS: sheet.activate_slots,
        r.COLUMN_SLOTS: sheet.column_slots,
    }
    memory[list(noted)] = list(noted.values())
