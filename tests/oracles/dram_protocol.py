"""What JEDEC forbids: every pair of commands of a channel checked against the data sheet.

It knows neither queues nor schedulers, only which command may follow which after how long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from accelsim.dram.replay import Channel
from accelsim.dram.sheet import DramTiming


@dataclass(frozen=True)
class Issued:
    """A command at a clock; `group` and `bank` count over the whole channel."""

    clock: int
    name: str  # ACT, ACT2, PRE, RD, WR
    bus: int
    group: int
    bank: int
    row: int


class Logged(Channel):
    """A channel that writes down what it commands. Refresh is left out."""

    def __init__(self, sheet: DramTiming, queue: int | None = None) -> None:
        super().__init__(sheet, refresh=False, queue=queue)
        self.log: list[Issued] = []

    def note(self, name, request):  # type: ignore[no-untyped-def]
        bank = next(i for i, bank in enumerate(self.banks) if bank is request.bank)
        group, bus = bank // self.sheet.banks, bank // self.sheet.bus_banks
        self.log.append(Issued(self.clock, name, bus, group, bank, request.row))

    def _activate(self, request):  # type: ignore[no-untyped-def]
        self.note("ACT", request)
        super()._activate(request)

    def _complete(self, bank):  # type: ignore[no-untyped-def]
        at = next(i for i, each in enumerate(self.banks) if each is bank)
        group, bus = at // self.sheet.banks, at // self.sheet.bus_banks
        self.log.append(Issued(self.clock, "ACT2", bus, group, at, bank.row))
        super()._complete(bank)

    def _precharge(self, request):  # type: ignore[no-untyped-def]
        self.note("PRE", request)
        super()._precharge(request)

    def _read(self, request):  # type: ignore[no-untyped-def]
        self.note("RD", request)
        super()._read(request)

    def _write(self, request):  # type: ignore[no-untyped-def]
        self.note("WR", request)
        super()._write(request)


def gaps(sheet: DramTiming) -> dict[tuple[str, str, str], int]:
    """Least clocks between two commands of the same bus, group or bank.

    On a split command bus an activate takes two clocks, and counts from the second.
    """
    late = sheet.activate_slots - 1 if sheet.command_bus == "split" else 0
    recovery = sheet.nCWL + sheet.nBL + sheet.nWR
    rtw = sheet.nRTW or sheet.nCL + sheet.nBL + 2 - sheet.nCWL
    wtr = sheet.nCWL + sheet.nBL + sheet.nWTRS
    wtr_l = sheet.nCWL + (sheet.nBL_L or sheet.nBL) + sheet.nWTRL
    return {
        ("bus", "RD", "RD"): max(sheet.nBL, sheet.nCCDS),
        ("bus", "WR", "WR"): max(sheet.nBL, sheet.nCCDS),
        ("bus", "RD", "WR"): rtw,
        ("bus", "WR", "RD"): wtr,
        ("bus", "ACT", "ACT"): sheet.nRRDS,
        ("bus", "PRE", "PRE"): sheet.nPPD or 1,
        ("group", "RD", "RD"): sheet.nCCDL,
        ("group", "WR", "WR"): sheet.nCCDL_WR or sheet.nCCDL,
        ("group", "WR", "RD"): wtr_l,
        ("group", "ACT", "ACT"): sheet.nRRDL,
        ("bank", "ACT", "ACT"): sheet.nRC,
        ("bank", "ACT", "ACT2"): 1,
        ("bank", "ACT2", "RD"): 1,
        ("bank", "ACT2", "WR"): 1,
        ("bank", "ACT", "RD"): sheet.nRCD + late,
        ("bank", "ACT", "WR"): (sheet.nRCDWR or sheet.nRCD) + late,
        ("bank", "ACT", "PRE"): sheet.nRAS + late,
        ("bank", "PRE", "ACT"): sheet.nRP - late,
        ("bank", "RD", "PRE"): sheet.nRTP,
        ("bank", "WR", "PRE"): recovery,
    }


def slots(sheet: DramTiming, name: str) -> int:
    """Clocks for which a command has the command bus."""
    if name == "ACT":
        return 1 if sheet.nAAD else sheet.activate_slots
    return sheet.column_slots if name in ("RD", "WR") else 1


def crowded(sheet: DramTiming, log: Sequence[Issued]) -> list[str]:
    """Commands that overlap on their command bus; a split one has a half for rows."""
    wrong = []
    halves = [log]
    if sheet.command_bus == "split":
        columns = [each for each in log if each.name in ("RD", "WR")]
        halves = [columns, [each for each in log if each not in columns]]
    for half in halves:
        for before, now in pairwise(half):
            if now.clock - before.clock < slots(sheet, before.name):
                wrong.append(f"{before} {now}: the command bus is not free")
    return wrong


def late_seconds(sheet: DramTiming, log: Sequence[Issued]) -> list[str]:
    """Activates whose second command is missing, late, or behind what needs it."""
    wrong = []
    halves: dict[int, Issued] = {}
    for now in log if sheet.nAAD else ():
        first = halves.get(now.bank)
        if now.name == "ACT":
            halves[now.bank] = now
        elif now.name == "ACT2":
            if first is None or not 0 < now.clock - first.clock <= (sheet.nAAD or 0):
                wrong.append(f"{now}: not within nAAD of {first}")
            halves.pop(now.bank, None)
        elif first is not None:
            wrong.append(f"{now}: the activate is half")
    return wrong


def collisions(sheet: DramTiming, log: Sequence[Issued]) -> list[str]:
    """Bursts that are on a data bus at once."""
    wrong = []
    latency = {"RD": sheet.nCL, "WR": sheet.nCWL}
    columns = [each for each in log if each.name in latency]
    starts = sorted((each.bus, each.clock + latency[each.name]) for each in columns)
    for (bus, before), (other, now) in pairwise(starts):
        if bus == other and now - before < sheet.nBL:
            wrong.append(f"data bus {bus}: bursts at {before} and {now}")
    return wrong


def violations(sheet: DramTiming, log: Sequence[Issued]) -> list[str]:
    """Every pair of commands that are too close, and every access to a row that is not open."""
    wrong = [*crowded(sheet, log), *late_seconds(sheet, log), *collisions(sheet, log)]
    seen: list[Issued] = []
    opened: dict[int, int] = {}
    limits = gaps(sheet)
    horizon = max([*limits.values(), sheet.nFAW])
    for now in log:
        recent = [then for then in seen if now.clock - then.clock <= horizon]
        for then in recent:
            for level in ("bus", "group", "bank"):
                least = limits.get((level, then.name, now.name), 0)
                if getattr(then, level) == getattr(now, level) and now.clock - then.clock < least:
                    wrong.append(f"{then} {now}: {level} needs {least}")
        activates = [t for t in recent if t.name == "ACT" and t.bus == now.bus]
        if now.name == "ACT":
            if len(activates) >= 4 and now.clock - activates[-4].clock < sheet.nFAW:
                wrong.append(f"{now}: the fifth activate within tFAW")
            if now.bank in opened:
                wrong.append(f"{now}: the bank is open")
            opened[now.bank] = now.row
        elif now.name == "PRE":
            opened.pop(now.bank)
        elif now.name == "ACT2":
            pass
        elif opened.get(now.bank) != now.row:
            wrong.append(f"{now}: its row is not open")
        seen = [*recent, now]
    return wrong
