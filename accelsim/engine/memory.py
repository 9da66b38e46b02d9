"""Buffers with room to reserve, and the DRAM channel that everything shares.

Both serve first whom they would otherwise keep waiting, so nobody's prefetch delays what another
waits for by more than the one transfer that is under way.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple, Protocol

from accelsim.engine.clock import Clock, Component, Placed, State
from accelsim.engine.contests import Contests


class Asker(Protocol):
    """A unit, as the memories see it.

    `work` is the cycles of all tasks before the one that it asks for, counted from the first,
    `total` those of all units of its kind.
    """

    work: int
    total: int

    @property
    def layer(self) -> object:
        """The layer that it loads for."""

    @property
    def left(self) -> int:
        """Cycles of its tasks of that layer, from the one that it asks for."""

    @property
    def ahead(self) -> int:
        """Tiles that it has and has not computed."""

    def waits_behind(self, work: int) -> bool:
        """Whether so much work is done, and it cannot go on without more."""

    def pair(self, buffer: int) -> tuple[int, int]:
        """Room for the tile that it computes and the next one, and the space that they lie in."""

    def granted(self) -> None:
        """It has the room that it waited for."""

    def served(self, what: Any, is_write: bool, arrival: int) -> None:
        """Its transfer is under way and arrives in cycle `arrival`."""


class Wish(NamedTuple):
    """Room that somebody waits for."""

    asker: Asker
    size: int
    space: int

    @property
    def ahead(self) -> int:
        """Tiles that its asker has to compute before it waits."""
        return self.asker.ahead


class Buffer(Component):
    """Room for tiles, in bytes.

    A layer's tiles lie within the first `space` bytes. So layers with at most some space
    together take at most that, and whatever it is, there is room for two halves.

    Who has the fewest tiles to compute is served first, among equals who asked first; and what is
    more than a unit's next tile leaves the others room for theirs.

    Nobody waits for ever. A tile that has all its room is computed and put away without any more,
    so in the end all who wait have nothing else to do, and none is refused for another's sake.
    Then each has at most the tile that it is loading: no more than half of its space, so that the
    first to ask finds room; or a block, whose rooms are taken in the order of the buffers, so that
    whoever holds some of the last buffer that is waited for has all it needs.
    """

    def __init__(self, clock: Clock, name: str, size: int, index: int = 0) -> None:
        super().__init__(clock)
        self.clock = clock
        self.name = name
        self.size = size
        self.index = index
        self.taken: dict[int, int] = {}
        self.held: dict[Asker, int] = {}
        self.waiting: list[Wish] = []
        self.moves_until = 0

    def move(self, cycles: int) -> int:
        """Bring something in after all that was asked for before; in how many cycles it is in."""
        self.moves_until = max(self.clock.now, self.moves_until) + cycles
        return self.moves_until - self.clock.now

    @property
    def free(self) -> int:
        """Bytes without tiles; feature maps may lie in them."""
        return self.size - sum(self.taken.values())

    def reserve(self, asker: Asker, size: int, space: int) -> bool:
        """Take `size` of `space` bytes; if that must wait, say so, and tell the asker in time."""
        if not size:
            return True
        if not self.waiting and self.can_grant(asker, size, space):
            self.take(asker, size, space)
            return True
        self.waiting.append(Wish(asker, size, space))
        if len(self.waiting) > 1:
            self.serve()
        return False

    def release(self, asker: Asker, size: int, space: int) -> None:
        """Give `size` of `space` bytes back and serve those who wait."""
        self.take(asker, -size, space)
        if self.waiting:
            self.serve()

    def serve(self) -> None:
        """Grant all wishes that can be granted now."""
        while self.waiting and (wish := self.next_wish()) is not None:
            self.waiting.remove(wish)
            self.take(wish.asker, wish.size, wish.space)
            wish.asker.granted()

    def next_wish(self) -> Wish | None:
        """Whose turn it is, if there is room; who finds none keeps it for himself as it comes."""
        waiting = self.waiting
        for wish in sorted(waiting, key=attrgetter("ahead")) if len(waiting) > 1 else waiting:
            if self.can_grant(wish.asker, wish.size, wish.space):
                return wish
            if not self.has_room(wish.size, wish.space):
                return None
        return None

    def can_grant(self, asker: Asker, size: int, space: int) -> bool:
        """Whether there is room, and for more than a next tile without that for others' next."""
        if not self.has_room(size, space):
            return False
        held = self.held
        if (len(held) == 1 and asker in held) or asker.ahead < 2:
            return True
        left = [room for each in held if each is not asker for room in self.unmet(each)]
        return not left or self.has_room(size, space, *left)

    def is_shared(self, asker: Asker) -> bool:
        """Whether somebody else has room here, or must have it left."""
        others = (each for each in self.held if each is not asker)
        return any(self.held[each] or each.pair(self.index)[0] for each in others)

    def unmet(self, asker: Asker) -> Iterator[tuple[int, int]]:
        """Room that an asker may yet need for its next tile, and the space of that."""
        size, space = asker.pair(self.index)
        if size > self.held[asker]:
            yield size - self.held[asker], space

    def has_room(self, size: int, space: int, *more: tuple[int, int]) -> bool:
        """Whether `size` more bytes within `space`, and `more` such, leave all their place."""
        taken = self.taken
        if not more and (not taken or (len(taken) == 1 and space in taken)):
            return taken.get(space, 0) + size <= (space if space < self.size else self.size)
        total = dict(taken)
        for each, within in ((size, space), *more):
            total[within] = total.get(within, 0) + each
        sums = 0
        for each in sorted(total):
            sums += total[each]
            if each >= space and sums > min(each, self.size):
                return False
        return True

    def take(self, asker: Asker, size: int, space: int) -> None:
        """Count `size` bytes more (or less) as taken."""
        self.held[asker] = self.held.get(asker, 0) + size
        taken = self.taken.get(space, 0) + size
        if taken:
            self.taken[space] = taken
        else:
            self.taken.pop(space, None)  # an empty entry would be looked at ever after

    def state(self, now: int) -> State:
        """What is taken, who waits for room, and how long moves will go on."""
        return (
            tuple(self.taken.items()),
            tuple(self.held.values()),
            tuple(self.waiting),
            max(self.moves_until - now, 0),
        )

    def shift(self, cycles: int) -> None:
        self.moves_until += cycles


@dataclass(slots=True, eq=False)
class Request:
    """A transfer that waits for the channel, the `order`th of all; `work` of the asker before it.

    `cycles` is how long it will hold the channel, `what` the asker's task.
    """

    asker: Asker
    what: Placed
    cycles: int
    is_write: bool
    work: int
    order: int


class DramChannel(Component):
    """One channel, shared by all arrays.

    A transfer holds the channel for its bursts; its data arrive the latency later, while the
    channel serves others. Turning from reads to writes or back takes the channel, too.

    What a unit waits for is served before what others load ahead, and among such first the kind of
    unit with the most work of all. Arrays that share a layer keep step: who has the most of it left
    goes first. A unit's own transfers keep their order. Nobody waits for ever: what a unit waits
    for is one tile, and while that is computed, whoever waits is before it.
    """

    def __init__(self, clock: Clock, latency: int, turnaround: tuple[int, int] = (0, 0)) -> None:
        super().__init__(clock)
        self.clock = clock
        self.latency = latency
        self.turnaround = turnaround
        self.writing: bool | None = None
        self.free_at = 0
        self.waiting: dict[int, Request] = {}  # in the order of asking
        self.queues: dict[Asker, deque[Request]] = {}
        self.asked = 0
        self.contests: Contests | None = None  # where somebody wants to know of them

    def transfer(self, asker: Asker, what: Placed, cycles: int, is_write: bool) -> None:
        """Move a tile: at once, if the channel is free, or in its turn."""
        if not self.waiting:
            now = self.clock.now
            if self.free_at <= now:
                self.begin(asker, what, cycles, is_write)
                return
            self.clock.after(self.free_at - now, self.begin_next)
        self.asked += 1
        request = Request(
            asker=asker,
            what=what,
            cycles=cycles,
            is_write=is_write,
            work=asker.work,
            order=self.asked,
        )
        self.waiting[self.asked] = request
        queue = self.queues.get(asker)
        if queue is None:
            self.queues[asker] = deque((request,))
        else:
            queue.append(request)

    def begin_next(self, _: None) -> None:
        """Begin with the transfer that is needed first."""
        while self.waiting and self.free_at <= self.clock.now:
            request = self.next_request()
            self.begin(request.asker, request.what, request.cycles, request.is_write)
        if self.waiting:
            self.clock.after(self.free_at - self.clock.now, self.begin_next)

    def next_request(self) -> Request:
        """Take what is needed first out of the queue."""
        queue = self.queues[self.first()]
        request = queue.popleft()
        if not queue:
            del self.queues[request.asker]
        del self.waiting[request.order]
        return request

    def first(self) -> Asker:
        """Whose transfer is needed first."""
        if len(self.queues) == 1:
            return next(iter(self.queues))
        ranks = {asker: self.rank(queue[0]) for asker, queue in self.queues.items()}
        first = min(ranks, key=ranks.__getitem__)
        urgency, layer = ranks[first][:2], first.layer
        sharers = [each for each in ranks if each.layer is layer and ranks[each][:2] == urgency]
        if len(sharers) > 1:
            first = max(sharers, key=lambda each: (each.left, -ranks[each][2]))
            if self.contests is not None:
                self.contests.note(first, sharers)
        return first

    def rank(self, request: Request) -> tuple[bool, int, int]:
        """The least comes first."""
        waits = request.asker.waits_behind(request.work)
        return not waits, -request.asker.total, request.order

    def begin(self, asker: Asker, what: Placed, cycles: int, is_write: bool) -> None:
        """Hold the channel for a transfer, and say when it arrives."""
        start = self.clock.now
        if self.writing not in (None, is_write):
            start += self.turnaround[is_write]
        self.writing = is_write
        self.free_at = start + cycles
        asker.served(what, is_write, self.free_at + self.latency)

    def state(self, now: int) -> State:
        """Which way it goes, how long it is held, and what waits for it."""
        waiting = [
            (each.asker, each.cycles, each.is_write and each.what.place)  # loads are in order
            for each in self.waiting.values()
        ]
        return self.writing, max(self.free_at - now, 0), tuple(waiting)

    def shift(self, cycles: int) -> None:
        self.free_at += cycles
