"""What JEDEC forbids: every pair of commands of a channel checked against the data sheet.

It knows neither queues nor schedulers, only which command may follow which after how long.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from accelsim.dram.replay import Channel
from accelsim.dram.sheet import DramTiming


@dataclass(frozen=True)
class Issued:
    """A command at a clock; `group` and `bank` count over the whole channel."""

    clock: int
    name: str  # ACT, PRE, RD, WR
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
    rtw, wtr = sheet.nCL + sheet.nBL + 2 - sheet.nCWL, sheet.nCWL + sheet.nBL + sheet.nWTRS
    wtr_l = sheet.nCWL + (sheet.nBL_L or sheet.nBL) + sheet.nWTRL
    return {
        ("bus", "RD", "RD"): max(sheet.nBL, sheet.nCCDS),
        ("bus", "WR", "WR"): max(sheet.nBL, sheet.nCCDS),
        ("bus", "RD", "WR"): rtw,
        ("bus", "WR", "RD"): wtr,
        ("bus", "ACT", "ACT"): sheet.nRRDS,
        ("bus", "PRE", "PRE"): sheet.nPPD or 1,
        ("group", "RD", "RD"): sheet.nCCDL,
        ("group", "WR", "WR"): sheet.nCCDL,
        ("group", "WR", "RD"): wtr_l,
        ("group", "ACT", "ACT"): sheet.nRRDL,
        ("bank", "ACT", "ACT"): sheet.nRC,
        ("bank", "ACT", "RD"): sheet.nRCD + late,
        ("bank", "ACT", "WR"): (sheet.nRCDWR or sheet.nRCD) + late,
        ("bank", "ACT", "PRE"): sheet.nRAS + late,
        ("bank", "PRE", "ACT"): sheet.nRP - late,
        ("bank", "RD", "PRE"): sheet.nRTP,
        ("bank", "WR", "PRE"): recovery,
    }


def violations(sheet: DramTiming, log: Iterable[Issued]) -> list[str]:
    """Every pair of commands that are too close, and every access to a row that is not open."""
    wrong = []
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
        elif opened.get(now.bank) != now.row:
            wrong.append(f"{now}: its row is not open")
        seen = [*recent, now]
    return wrong
