"""Passes of a row-stationary array, walked PE by PE and stepped cycle by cycle.

Nothing here knows a law of `lowering`. A PE set has R x e PEs; PE (i, j) convolves filter row i
with the ifmap row that ofmap row j needs of it. r sets stand above one another and hand their
psums up, each with other channels; t such chains take other filters. Letters as in the papers:
N images, M filters, C channels, e x F ofmap, R x S filter.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.int64]
PE = tuple[int, int, int, int]  # chain, set of the chain, row of the set, column of the set


@dataclass(frozen=True)
class Geometry:
    """A pass: what it computes, and on which sets. `row` and `col` are (stride, dilation)."""

    images: int
    filters: int
    channels: int
    rows: int
    cols: int
    set_rows: int
    taps: int
    r: int
    t: int
    row: tuple[int, int] = (1, 1)
    col: tuple[int, int] = (1, 1)

    def place(self, i: int, j: int, x: int, s: int) -> tuple[int, int]:
        """The ifmap row and column that tap (i, s) of ofmap pixel (j, x) falls on."""
        return j * self.row[0] + i * self.row[1], x * self.col[0] + s * self.col[1]

    @property
    def ifmap_shape(self) -> tuple[int, int, int, int]:
        """(N, C, H, W) of the ifmap that the pass reads."""
        last = self.place(self.set_rows - 1, self.rows - 1, self.cols - 1, self.taps - 1)
        return self.images, self.channels, last[0] + 1, last[1] + 1


def shares(total: int, parts: int) -> list[range]:
    """`total` indices dealt to `parts` as evenly as can be; some may get none."""
    bounds = [total * part // parts for part in range(parts + 1)]
    return [range(start, stop) for start, stop in pairwise(bounds)]


@dataclass
class Walked:
    """What a pass did: psums (N, M, e, F), MACs of each PE, and the words that came and went."""

    psums: Matrix
    macs: Counter[PE] = field(default_factory=Counter)
    ifmap: set[tuple[int, ...]] = field(default_factory=set)
    filters: set[tuple[int, ...]] = field(default_factory=set)
    psums_in: int = 0
    psums_out: int = 0
    filter_spads: dict[PE, set[tuple[int, ...]]] = field(default_factory=lambda: defaultdict(set))
    ifmap_rows: dict[PE, set[tuple[int, ...]]] = field(default_factory=lambda: defaultdict(set))

    @property
    def ifmap_rectangles(self) -> int:
        """Words of the ifmap from the first row and column read to the last, plane by plane."""
        planes: dict[tuple[int, ...], list[tuple[int, ...]]] = defaultdict(list)
        for word in self.ifmap:
            planes[word[:2]].append(word[2:])
        sides = (
            [max(axis) - min(axis) + 1 for axis in zip(*words, strict=True)]
            for words in planes.values()
        )
        return sum(height * width for height, width in sides)


def walk(work: Geometry, ifmap: Matrix, weights: Matrix, psums: Matrix) -> Walked:
    """Run a pass on an ifmap (N, C, H, W) and filters (M, C, R, S), continuing `psums`.

    A word that several PEs want crosses the network once.
    """
    walked = Walked(psums.copy())
    for chain, filters in enumerate(shares(work.filters, work.t)):
        for n, m, j, x in product(range(work.images), filters, range(work.rows), range(work.cols)):
            psum = int(psums[n, m, j, x])
            walked.psums_in += 1
            for pe, c in _upwards(work, chain, j):
                psum += _row_of_taps(work, walked, pe, (n, m, c, x), ifmap, weights)
            walked.psums[n, m, j, x] = psum
            walked.psums_out += 1
    return walked


def _upwards(work: Geometry, chain: int, j: int) -> Iterator[tuple[PE, int]]:
    """The PEs that a psum of ofmap row j passes, from the lowest, with each of their channels."""
    sets = list(enumerate(shares(work.channels, work.r)))
    for index, channels in reversed(sets):
        for i in reversed(range(work.set_rows)):
            for c in channels:
                yield (chain, index, i, j), c


def _row_of_taps(
    work: Geometry,
    walked: Walked,
    pe: PE,
    index: tuple[int, int, int, int],
    ifmap: Matrix,
    weights: Matrix,
) -> int:
    """One PE's products of a filter row with the window of its ifmap row at column x."""
    n, m, c, x = index
    _, _, i, j = pe
    total = 0
    for s in range(work.taps):
        h, w = work.place(i, j, x, s)
        walked.ifmap.add((n, c, h, w))
        walked.filters.add((m, c, i, s))
        walked.filter_spads[pe].add((m, c, s))
        walked.ifmap_rows[pe].add((n, c, h))
        walked.macs[pe] += 1
        total += int(ifmap[n, c, h, w]) * int(weights[m, c, i, s])
    return total


def convolved(work: Geometry, ifmap: Matrix, weights: Matrix) -> Matrix:
    """The same psums (N, M, e, F) from the definition of a convolution."""
    result = np.zeros((work.images, work.filters, work.rows, work.cols), np.int64)
    for i, s in product(range(work.set_rows), range(work.taps)):
        top, left = work.place(i, 0, 0, s)
        part = ifmap[:, :, top :: work.row[0], left :: work.col[0]]
        part = part[:, :, : work.rows, : work.cols]
        result += np.einsum("nchw,mc->nmhw", part, weights[:, :, i, s])
    return result


# --- In time --------------------------------------------------------------------------------------


@dataclass
class Network:
    """Moves words at `rate` per cycle; the bytes that it moves count on some buffers' ports."""

    rate: Fraction
    word_bytes: int = 1
    ports: Sequence["Port"] = ()
    credit: Fraction = Fraction(0)

    def move(self, wanted: int) -> int:
        """Words of `wanted` that move in this cycle. An idle network saves nothing up."""
        if not wanted:
            self.credit = Fraction(0)
            return 0
        self.credit += self.rate
        moved = min(wanted, int(self.credit))
        for port in self.ports:
            moved = min(moved, int(port.credit / self.word_bytes))
        for port in self.ports:
            port.credit -= moved * self.word_bytes
        self.credit = min(self.credit - moved, Fraction(1))
        return moved


@dataclass
class Port:
    """A buffer's bytes per cycle, shared by the networks of the operands that it holds."""

    rate: Fraction
    widest: int
    credit: Fraction = Fraction(0)

    def tick(self) -> None:
        """A cycle's bytes; what is left of the last one helps only to complete a word."""
        self.credit = min(self.credit, Fraction(self.widest)) + self.rate


@dataclass
class PassClock:
    """A pass stepped cycle by cycle, column after column of the ofmap.

    The filters come first, then the ifmap, `windows[x]` words before column x can begin. A
    column takes `macs` cycles once its window and its psums of earlier passes are there. Its
    psums leave `chain` cycles after its last MAC. The FIFOs before and behind the PEs hold
    `ahead` columns.
    """

    filters: int
    windows: Sequence[int]
    macs: int
    psums: int
    chain: int
    filter_network: Network
    ifmap_network: Network
    psum_in_network: Network
    psum_out_network: Network
    ports: Sequence[Port] = ()
    ahead: int = 2

    def cycles(self) -> int:
        """Cycles from the first filter word to the last psum out."""
        columns = len(self.windows)
        needed = np.cumsum(self.windows).tolist()
        begun = cycle = filters = ifmap = psums_in = psums_out = 0
        ends: list[int] = []  # of each column's MACs
        while psums_out < columns * self.psums:
            for port in self.ports:
                port.tick()
            left = self._left(ends, cycle) * self.psums
            psums_out += self.psum_out_network.move(left - psums_out)
            room = min(begun + self.ahead, columns)
            psums_in += self.psum_in_network.move(room * self.psums - psums_in)
            if filters == self.filters:
                ifmap += self.ifmap_network.move(needed[room - 1] - ifmap)
            filters += self.filter_network.move(self.filters - filters)
            cycle += 1
            free = not ends or ends[-1] <= cycle
            waiting = self._left(ends, cycle) - psums_out // self.psums
            there = begun < columns and ifmap >= needed[begun]
            if there and free and waiting < self.ahead and psums_in >= (begun + 1) * self.psums:
                ends.append(cycle + self.macs)
                begun += 1
            assert cycle < 100_000, "stuck"
        return cycle

    def _left(self, ends: Sequence[int], cycle: int) -> int:
        """Columns whose psums have passed the chain."""
        return sum(end + self.chain <= cycle for end in ends)
