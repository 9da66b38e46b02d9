"""What a tiling costs: cycles and DRAM bytes in closed form, for many tilings at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware import Objective, Operand
from accelsim.lowering.target import Sizes
from accelsim.lowering.tiling import Pick

Moved = NDArray[np.float64]

TINY = 1e-6
"""Cycles by which a quotient of bytes and bytes per cycle may be off."""


@dataclass(frozen=True, slots=True)
class Turnaround:
    """For how long tiles of some operands, which take each other's place, are in their buffer.

    A tile of `tile_bytes` is there while it is loaded and computed, or computed and stored, or all
    three. Of all that is what the array takes, and the channel's cycles and the latencies of the
    `moves` of each operand, but for those that have `come` before. There are so many `tiles`, and
    what else is in that buffer takes so many bytes `beside` them.
    """

    tile_bytes: Sizes
    busy_cycles: NDArray[np.float64]
    moves: dict[Operand, Sizes]
    tiles: Sizes
    beside: Sizes
    come: int = 0

    def cycles(self, taken: Mapping[Operand, Moved], latency: int) -> Moved:
        """Cycles of all tiles with a DRAM on which one of each operand has `taken` some."""
        each = [(moves - self.come) * (taken[item] + latency) for item, moves in self.moves.items()]
        return np.asarray(sum(each, start=self.busy_cycles))

    def places(self, room: Sizes) -> Sizes:
        """How many of them are in `room` at a time: two at least, if there are two."""
        fitting = np.maximum(room // np.maximum(self.tile_bytes, 1), 2)
        return np.asarray(np.clip(fitting, 1, np.maximum(self.tiles, 1)))


@dataclass(frozen=True, slots=True)
class Queue:
    """Loads that wait until tiles of another task have left: nothing overtakes them.

    What is then loaded comes with a latency that only as many tiles hide as have a place; where a
    tile is one task, `also` the one that waits. So all `tiles` take `busy_cycles` of the array, the
    channel's cycles of the `moves` of each operand, and so many `latencies`, in places of
    `tile_bytes` on average with so many bytes `beside` them. What is `left` of a tile has a place
    until that is stored, in so many `stores`.
    """

    tile_bytes: NDArray[np.float64]
    beside: Sizes
    busy_cycles: NDArray[np.float64]
    moves: Mapping[Operand, Sizes]
    latencies: Sizes
    tiles: Sizes
    also: Sizes | int = 0
    left: NDArray[np.float64] | int = 0
    stores: Sizes | int = 0

    def cycles(self, taken: Mapping[Operand, Moved], latency: int, room: int) -> Moved:
        """What all take, as many on their way at a time as there is `room` for.

        So much is left of each of them as its store takes of all its time.
        """
        each = [moves * taken[item] for item, moves in self.moves.items()]
        chain = np.asarray(sum(each, start=self.busy_cycles + latency * self.latencies))
        left = self.left * self.stores * (taken["ofmap"] + latency) / np.maximum(chain, 1)
        there = np.maximum(self.tile_bytes + left, 1)
        places = np.clip((room - self.beside - self.also * left) // there, 1, None)
        return np.asarray(chain / (np.minimum(places, np.maximum(self.tiles, 1)) + self.also))


@dataclass(frozen=True, slots=True)
class Places:
    """A buffer of `size`, which holds two tiles of `tile_bytes` or more, of all its operands.

    The one in which feature maps stay may have less `space` than that for tiles. `turnarounds` are
    of the operands whose tiles come or leave, `queues` tell of what waits behind them.
    """

    tile_bytes: Sizes
    size: int
    has_maps: bool
    turnarounds: tuple[Turnaround, ...]
    queues: Callable[[], Iterable[Queue]] = tuple

    def room(self, space: int | None) -> int:
        """Bytes for tiles."""
        return self.size if space is None or not self.has_maps else min(self.size, space)

    def count(self, space: int | None = None) -> Sizes:
        """How many tiles of all operands it holds."""
        return np.asarray(np.maximum(self.room(space) // np.maximum(self.tile_bytes, 1), 2))

    def there(self, taken: Mapping[Operand, Moved], latency: int) -> list[Moved]:
        """For how long tiles of each of the turnarounds are in the buffer, all of them."""
        return [one.cycles(taken, latency) for one in self.turnarounds]

    def cycles(self, there: Sequence[Moved], space: int | None) -> Moved:
        """What tiles take, one after another in as many places as there are beside others.

        Together they take the bytes of each for as long as it is `there`, of the bytes that all
        have.
        """
        room, most = self.room(space), np.zeros(1)
        for one, cycles in zip(self.turnarounds, there, strict=True):
            most = np.maximum(most, cycles / one.places(room - one.beside))
        if len(there) == 1:
            return most
        pairs = zip(self.turnarounds, there, strict=True)
        return np.maximum(
            most, sum(one.tile_bytes * cycles for one, cycles in pairs) / max(room, 1)
        )


@dataclass(frozen=True, slots=True)
class Channel:
    """What moves on the DRAM channel: of each operand so many `tiles`, in tiles of the largest.

    Each of them has `occupied` so many bytes of it, in whole cycles. Between reads and writes it
    turns `turns` times one way and the other, which takes `turn_cycles`.
    """

    tiles: dict[Operand, Moved]
    occupied: dict[Operand, Sizes]
    turns: Sizes
    turn_cycles: int

    def each(self, rate: float) -> dict[Operand, Moved]:
        """Cycles of a tile of each operand with a DRAM of `rate` bytes per cycle."""
        return {item: np.ceil(size / rate - TINY) for item, size in self.occupied.items()}

    def cycles(self, each: Mapping[Operand, Moved]) -> Moved:
        """Cycles of all, where a tile takes so many."""
        moved = sum(tiles * each[item] for item, tiles in self.tiles.items())
        return np.asarray(moved + self.turns * self.turn_cycles if self.turn_cycles else moved)


@dataclass(frozen=True, slots=True)
class Passes:
    """Psums that leave and come back: all tiles go over one part of the sums, then over the next.

    There are so many `parts`, 1 where psums stay, or where the array hardly goes over them before
    the next part. The last one has a `share` of the sums, and the array does it in `last_cycles`.
    """

    parts: Sizes
    share: NDArray[np.float64]
    last_cycles: NDArray[np.float64]

    def cycles(
        self, busy: NDArray[np.float64], channel: Channel, each: Mapping[Operand, Moved]
    ) -> Moved:
        """Of each part what takes longer, array or DRAM: none hides what another one waits for."""
        inputs: Moved = np.zeros(1)
        for item in ("ifmap", "filter"):
            if item in channel.tiles:
                inputs = inputs + channel.tiles[item] * each[item]
        others = np.maximum(self.parts - 1, 1)
        psums = channel.tiles["psum"] * each["psum"] / (2 * others)
        stored = channel.tiles["ofmap"] * each["ofmap"] if "ofmap" in channel.tiles else 0
        array, moved = (busy - self.last_cycles) / others, inputs * (1 - self.share) / others
        first = np.maximum(array, moved + psums)
        between = (others - 1) * np.maximum(array, moved + 2 * psums)
        last = np.maximum(self.last_cycles, inputs * self.share + psums + stored)
        return np.asarray((self.parts > 1) * (first + between + last))


@dataclass(frozen=True, slots=True)
class Cost:
    """What the closed form adds up, one entry per tiling: cycles, and what the DRAM channel moves.

    The last of the arrays is busy between the first operands' coming, for each in turn, and the
    last ofmap's leaving (if it is stored), in turn where that takes longer: `other_bytes` more.
    Where DRAM takes longer, it moves all of the `channel` without a pause, but for the last
    tile, which has come and computes `alone_cycles`. Meanwhile only ofmaps are stored that have
    waited behind its load: of as many tiles as are loaded ahead, of the
    `own_tiles` of each of the `arrays` that are at work. `dram_bytes` are exact, but for several
    arrays of which the last has one turn: then a bound. Nothing hides DRAM's latency before the
    first tile, if its ifmap `is_loaded`, and after the last, if that `is_stored`.

    Psums that an array goes on with are computed as long as any tile alone, stored and loaded
    again, one after the other; it has so many `links` of such a chain.

    While an ifmap that stays on chip was made, the first tile's filters have come, unless they are
    an input, too; DRAM takes as long for them. The next ones are asked for as the layer begins,
    and the array has `filter_cycles` to do until it needs them: infinitely many, if there are none.
    """

    busy_cycles: NDArray[np.float64]
    other_bytes: NDArray[Any] | int
    channel: Channel
    alone_cycles: NDArray[np.float64]
    dram_bytes: Sizes
    is_loaded: bool
    is_stored: bool
    own_tiles: Sizes
    arrays: Sizes
    links: Sizes
    passes: Passes
    buffers: tuple[Places, ...] = ()
    objective: Objective = "time"
    energy_pj: NDArray[np.float64] | None = None
    filter_cycles: NDArray[np.float64] | None = None

    def cycles(self, rate: float, latency: int, space: int | None = None) -> NDArray[np.float64]:
        """max(array, DRAM) plus what cannot overlap, with a DRAM of `rate` bytes per cycle.

        Tiles have `space` bytes of the buffer that holds ifmaps; all of it if nothing is said.
        """
        return self.rated(rate, latency).cycles(space)

    def rated(self, rate: float, latency: int) -> "Rated":
        """The same at one rate and latency of DRAM, for any space."""
        each = self.channel.each(rate)
        last = each["ofmap"] * self.is_stored
        first, before, waits = self._first(each, latency)
        around = first + last + self.other_bytes / rate
        most: NDArray[np.float64] = self.busy_cycles + (
            around + latency * (self.is_loaded + self.is_stored)
        )
        again = self.alone_cycles + 2 * (each["psum"] + latency)
        most = np.maximum(most, self.links * again)
        most = np.maximum(most, self.passes.cycles(self.busy_cycles, self.channel, each))
        return Rated(
            most=most,
            moving=self.channel.cycles(each),
            before=before,
            pause=latency * waits + self.alone_cycles,
            last=last,
            stored=latency * self.is_stored,
            own_tiles=self.own_tiles,
            arrays=self.arrays,
            buffers=tuple((buffer, buffer.there(each, latency)) for buffer in self.buffers),
        )

    def waiting(self, rate: float, latency: int, space: int) -> NDArray[np.float64]:
        """As `cycles`, if loads wait in queues as long as tiles of mean size let them.

        Where tiles differ they wait for less, or more: what this adds is a guess, no bound.
        """
        each, most = self.channel.each(rate), self.cycles(rate, latency, space)
        for buffer in self.buffers:
            for queue in buffer.queues():
                most = np.maximum(most, queue.cycles(each, latency, buffer.room(space)))
        return most

    def _first(self, each: Mapping[Operand, Moved], latency: int) -> tuple[Moved, Moved, Moved]:
        """What the array waits for operands at first, what has come before, and if DRAM waits."""
        come = each["filter"]
        if self.filter_cycles is None:
            return come + each["ifmap"] * self.is_loaded, 0 * come, come * 0 + self.is_loaded
        wait = np.maximum(come + latency - self.filter_cycles, 0)
        return wait, come, np.isfinite(self.filter_cycles) * 1.0


@dataclass(frozen=True, slots=True)
class Rated:
    """A Cost at one rate and latency of DRAM: what is left to say is how much space tiles have.

    It takes `most` wherever they lie. DRAM is `moving` for so long, with a `pause` for the last
    tile, but for what has come `before` and for stores, each of which takes as long as the `last`
    one; then its latency, if anything is `stored`. In `buffers` tiles are for so long.
    """

    most: NDArray[np.float64]
    moving: Moved
    before: Moved
    pause: Moved
    last: Moved
    stored: int
    own_tiles: Sizes
    arrays: Sizes
    buffers: tuple[tuple[Places, list[Moved]], ...]

    def cycles(self, space: int | None = None) -> NDArray[np.float64]:
        """As those of the Cost, in so many bytes of the buffer that holds ifmaps."""
        most, ahead = self.most, self.own_tiles
        for buffer, there in self.buffers:
            ahead = np.minimum(ahead, buffer.count(space))
            most = np.maximum(most, buffer.cycles(there, space))
        waiting = (self.arrays * ahead - 1) * self.last
        pause = np.maximum(self.pause - waiting, 0)
        moving = self.moving + np.maximum(pause - self.before, 0)
        return np.maximum(most, moving + self.stored)

    def fixed(self) -> "Rated":
        """The same, with what no space changes worked out."""
        most, ahead = self.most, self.own_tiles
        for buffer, there in self.buffers:
            if not buffer.has_maps:
                ahead = np.minimum(ahead, buffer.count())
                most = np.maximum(most, buffer.cycles(there, None))
        left = tuple((buffer, there) for buffer, there in self.buffers if buffer.has_maps)
        return replace(self, most=most, own_tiles=ahead, buffers=left)


@dataclass(frozen=True, slots=True)
class Floor:
    """What a Cost is never less than, in whatever space, one entry per tiling; quickly found.

    The array is busy, and waits while the bytes `around` that come and leave; DRAM moves its bytes.
    """

    busy_cycles: NDArray[np.float64]
    around_bytes: Sizes
    dram_bytes: Sizes
    is_loaded: bool
    is_stored: bool

    def only(self, pick: Pick) -> "Floor":
        """That of some tilings."""
        return replace(
            self,
            busy_cycles=pick(self.busy_cycles),
            around_bytes=pick(self.around_bytes),
            dram_bytes=pick(self.dram_bytes),
        )

    def cycles(self, rate: float, latency: int) -> NDArray[np.float64]:
        """Cycles at least, with a DRAM of `rate` bytes per cycle."""
        waits = latency * (self.is_loaded + self.is_stored)
        array = self.busy_cycles + (self.around_bytes / rate + waits)
        moving = self.dram_bytes / rate + latency * self.is_stored
        return np.asarray((1 - TINY) * np.maximum(array, moving))


def significant(cycles: NDArray[np.float64]) -> NDArray[np.float64]:
    """`cycles` rounded up to 8 significant bits, 0.4 to 0.8 %.

    The closed form is no better than that, so tilings that differ by less are ties, and less
    DRAM traffic decides between them.
    """
    fraction, exponent = np.frexp(cycles)
    rounded: NDArray[np.float64] = np.ldexp(np.ceil(fraction * 256), exponent - 8)
    return rounded
