"""A DRAM channel replayed command by command, for any list of accesses.

The controller is Ramulator 2.1's: first ready, first come first served (FR-FCFS) over a queue of
reads and one of writes, open rows, writes drained in batches, all-bank refresh. A request that
has activated its row is served before anyone may close it. No constant is fitted: everything
comes from the data sheet.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from accelsim.dram.pattern import Access, place_of
from accelsim.dram.sheet import DramTiming

_LONG_AGO = -(10**9)
_NEVER = 10**18
_WRITES_HIGH, _WRITES_LOW = 0.8, 0.2  # of the write queue: where its draining starts and ends


@dataclass(slots=True, eq=False)
class _Times:
    """The clock from which each command may be given to a bank, a group or a bus."""

    activate: int = _LONG_AGO
    read: int = _LONG_AGO
    write: int = _LONG_AGO
    precharge: int = _LONG_AGO


@dataclass(slots=True, eq=False)
class _Bank(_Times):
    """`row` is open, `owed` requests have activated it and are not served yet.

    What one request of a bank must wait for, all others with the same command must, too:
    `hit_refused` and `other_refused` are the last scans of a queue that found so. Of an activate in
    two commands the second is still `missing`, from one clock until another.
    """

    row: int | None = None
    owed: int = 0
    hit_refused: int = 0
    other_refused: int = 0
    missing: tuple[int, int] | None = None


@dataclass(slots=True, eq=False)
class _Bus(_Times):
    """A data bus with its banks, its last four activates and its refresh."""

    banks: list[_Bank] = field(default_factory=list)
    four: deque[int] = field(default_factory=lambda: deque([_LONG_AGO] * 4))
    precharge_all: int = _LONG_AGO
    refresh: int = _LONG_AGO


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    bus: _Bus
    group: _Times
    bank: _Bank
    row: int
    write: bool


class Channel:
    """One channel and its controller."""

    def __init__(self, sheet: DramTiming, refresh: bool = True, queue: int | None = None) -> None:
        """`queue` entries for reads, and as many for writes; the sheet's if left out."""
        self.sheet = sheet
        self.queue = queue or sheet.channel_queue
        self.buses = [_Bus() for _ in range(sheet.data_buses)]
        self.groups = [_Times() for _ in range(sheet.data_buses * sheet.bank_groups)]
        self.banks = [_Bank() for _ in range(sheet.channel_banks)]
        for index, bank in enumerate(self.banks):
            self.buses[index // sheet.bus_banks].banks.append(bank)
        self.reads: list[_Request] = []
        self.writes: list[_Request] = []
        self.active: list[_Request] = []
        self.refreshing: list[_Bus] = []
        self.next_refresh = sheet.nREFI if refresh else _NEVER
        self.draining = False
        self.clock = 0
        self.dones: list[int] = []  # when each access that was served is done
        self.scan = self.refreshes = self.activates = 0
        self.rows_free = self.columns_free = _LONG_AGO
        self.halves: deque[_Bank] = deque()
        self.split = sheet.command_bus == "split"
        self.slots = ("column", "row") if self.split else ("any",)
        self.late = sheet.activate_slots - 1 if self.split else 0  # it counts from its end

    def play(self, accesses: Iterable[Access]) -> int:
        """Clocks until all accesses are done, each requested as soon as there is room."""
        coming = self._requests(accesses)
        first = next(coming, None)
        while first or self.reads or self.writes or self.active:
            while first and len(self._queue_of(first)) < self.queue:
                self._queue_of(first).append(first)
                first = next(coming, None)
            self._note_refresh()
            self._choose_direction()
            wake = min([self._issue(slot) for slot in self.slots])
            free = min(self.rows_free, self.columns_free)
            self.clock = max(self.clock + 1, free, min(wake, self.next_refresh))
        return self.dones[-1] if self.dones else 0

    def _requests(self, accesses: Iterable[Access]) -> Iterator[_Request]:
        for address, write in accesses:
            place = place_of(self.sheet, address)
            group = self.groups[place.bank // self.sheet.banks]
            bank = self.banks[place.bank]
            yield _Request(
                bus=self.buses[place.bus], group=group, bank=bank, row=place.row, write=write
            )

    def _queue_of(self, request: _Request) -> list[_Request]:
        return self.writes if request.write else self.reads

    def _note_refresh(self) -> None:
        while self.clock >= self.next_refresh:
            self.next_refresh += self.sheet.nREFI
            self.refreshing.extend(self.buses)

    def _choose_direction(self) -> None:
        waiting = len(self.writes)
        if self.draining:
            self.draining = not (waiting < _WRITES_LOW * self.queue and self.reads)
        else:
            self.draining = waiting > _WRITES_HIGH * self.queue or not self.reads

    def _issue(self, slot: str) -> int:
        """Give the slot's best command if one is ready, and return 0, else when one may be."""
        if self._must_complete():
            return 0
        wake = _NEVER
        if slot != "row":
            wake = self._first_ready(self.active, slot)
        if wake and self.refreshing:
            return min(wake, self._refresh()) if slot != "column" else wake
        if wake:
            wake = min(wake, self._first_ready(self.writes if self.draining else self.reads, slot))
        return wake

    def _must_complete(self) -> bool:
        """Give the second command of an activate that can wait no longer, if there is one.

        A read or a write before it would take `column_slots` of the command bus.
        """
        while self.halves and self.halves[0].missing is None:
            self.halves.popleft()
        if not self.halves or self.halves[0].missing is None:
            return False
        _, latest = self.halves[0].missing
        due = self.clock + self.sheet.column_slots > latest
        if due:
            self._complete(self.halves[0])
        return due

    def _complete(self, bank: _Bank) -> None:
        """The second command of an activate."""
        bank.missing = None
        bank.read = max(bank.read, self.clock + 1)
        bank.write = max(bank.write, self.clock + 1)

    def _first_ready(self, queue: list[_Request], slot: str) -> int:
        """Issue for the oldest request that is ready; 0 if there is one, else when one may be."""
        self.scan += 1
        scan, wake, clock = self.scan, _NEVER, self.clock
        hits, others = slot != "row", slot != "column"
        for index, request in enumerate(queue):
            bank = request.bank
            if bank.row == request.row:
                if bank.hit_refused == scan:
                    continue
                bank.hit_refused = scan
                wanted = hits
            else:
                if bank.other_refused == scan:
                    continue
                bank.other_refused = scan
                wanted = others
            if not wanted:
                continue
            ready = self._ready(request)
            if ready <= clock:
                self._give(queue, index)
                return 0
            if ready < wake:
                wake = ready
        return wake

    def _ready(self, request: _Request) -> int:
        """The clock from which the command may be given that the request needs next."""
        bus, group, bank = request.bus, request.group, request.bank
        if bank.row is None:
            free = max(bus.activate, group.activate, bank.activate)
            return max(free, bus.four[0], self.rows_free)
        if bank.missing is not None and bank.row == request.row:
            return bank.missing[0]
        if bank.row != request.row:
            return _NEVER if bank.owed else max(bus.precharge, bank.precharge, self.rows_free)
        if request.write:
            return max(bus.write, group.write, bank.write, self.columns_free)
        return max(bus.read, group.read, bank.read, self.columns_free)

    def _give(self, queue: list[_Request], index: int) -> None:
        request = queue[index]
        bank = request.bank
        if bank.row is not None and bank.row != request.row:
            self._precharge(request)
            return
        if bank.missing is not None:
            self._complete(bank)
            return
        del queue[index]
        if bank.row is None:
            self._activate(request)
            return
        bank.owed -= queue is self.active
        if request.write:
            self._write(request)
        else:
            self._read(request)

    def _activate(self, request: _Request) -> None:
        sheet, now, late = self.sheet, self.clock, self.clock + self.late
        bus, group, bank = request.bus, request.group, request.bank
        self.active.append(request)
        self.activates += 1
        bank.row = request.row
        bank.owed += 1
        bank.activate = now + sheet.nRC
        bank.read = late + sheet.nRCD
        bank.write = late + (sheet.nRCDWR or sheet.nRCD)
        bank.precharge = late + sheet.nRAS
        group.activate = max(group.activate, now + sheet.nRRDL)
        bus.activate = max(bus.activate, now + sheet.nRRDS)
        bus.four.popleft()
        bus.four.append(now + sheet.nFAW)
        bus.precharge_all = max(bus.precharge_all, late + sheet.nRAS)
        bus.refresh = max(bus.refresh, late + sheet.nRC)
        if sheet.nAAD is not None:
            bank.missing = now + 1, now + sheet.nAAD
            self.halves.append(bank)
        else:
            self._commanded(sheet.activate_slots, column=False)

    def _commanded(self, slots: int, column: bool) -> None:
        """A command has its bus for so many clocks; a shared one is for rows and columns."""
        if column or not self.split:
            self.columns_free = self.clock + slots
        if not column or not self.split:
            self.rows_free = self.clock + slots

    def _precharge(self, request: _Request) -> None:
        sheet, bus, bank = self.sheet, request.bus, request.bank
        bank.row = None
        bank.activate = max(bank.activate, self.clock + sheet.nRP - self.late)
        bus.refresh = max(bus.refresh, self.clock + sheet.nRP)
        bus.precharge = self.clock + (sheet.nPPD or 1)

    def _read(self, request: _Request) -> None:
        sheet, now = self.sheet, self.clock
        bus, group, bank = request.bus, request.group, request.bank
        bus.read = max(bus.read, now + sheet.nCCDS)
        group.read = max(group.read, now + sheet.nCCDL)
        bus.write = max(bus.write, now + sheet.read_to_write)
        bank.precharge = max(bank.precharge, now + sheet.nRTP)
        bus.precharge_all = max(bus.precharge_all, now + sheet.nRTP)
        self._commanded(sheet.column_slots, column=True)
        self.dones.append(now + sheet.nCL + sheet.nBL)

    def _write(self, request: _Request) -> None:
        sheet, now = self.sheet, self.clock
        bus, group, bank = request.bus, request.group, request.bank
        bus.write = max(bus.write, now + sheet.nCCDS)
        group.write = max(group.write, now + (sheet.nCCDL_WR or sheet.nCCDL))
        bus.read = max(bus.read, now + sheet.write_to_read(within_group=False))
        group.read = max(group.read, now + sheet.write_to_read(within_group=True))
        recovered = now + sheet.nCWL + sheet.nBL + sheet.nWR
        bank.precharge = max(bank.precharge, recovered)
        bus.precharge_all = max(bus.precharge_all, recovered)
        self._commanded(sheet.column_slots, column=True)
        self.dones.append(now)

    def _refresh(self) -> int:
        """Close all rows of the bus whose turn it is, then refresh it; as `_issue`."""
        sheet, now, bus = self.sheet, self.clock, self.refreshing[0]
        opened = [bank for bank in bus.banks if bank.row is not None]
        ready = max(bus.precharge_all if opened else bus.refresh, self.rows_free)
        if any(bank.owed for bank in opened):
            return _NEVER
        if ready > now:
            return ready
        if opened:
            for bank in opened:
                bank.row = None
            bus.refresh = max(bus.refresh, now + sheet.nRP)
            bus.activate = max(bus.activate, now + (sheet.nRPab or sheet.nRP) - self.late)
        else:
            bus.activate = max(bus.activate, now + sheet.nRFC - self.late)
            bus.precharge_all = max(bus.precharge_all, now + sheet.nRFC)
            self.refreshing.pop(0)
            self.refreshes += 1
        return 0


def achieved_fraction(
    sheet: DramTiming, accesses: Iterable[Access], refresh: bool = True, queue: int | None = None
) -> float:
    """Share of a channel's peak bandwidth that a pattern reaches, from first to last access.

    Refresh is played, but its own clocks are counted as it takes them in the long run: a short
    pattern would meet a whole number of refreshes.
    """
    channel = Channel(sheet, refresh, queue)
    clocks = channel.play(accesses) - channel.refreshes * sheet.nRFC / sheet.data_buses
    share = len(channel.dones) * sheet.nBL / sheet.data_buses / clocks
    return share * float(sheet.refresh_factor) if refresh else share
