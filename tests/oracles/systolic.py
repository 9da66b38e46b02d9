"""Systolic arrays stepped register by register: they compute A @ B, and their clock is counted.

Nothing here knows a cycle law. A PE has one register for each thing that passes through it, a
value moves one PE per cycle, and a register written while it still holds something loses what
it held. Cycle 0 is the first in which an operand crosses the array's edge.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.int64]
Place = tuple[int, int]


@dataclass
class Operand:
    """A streamed word. `opens` and `closes` mark the first and last of a fold in its lane."""

    value: int
    fold: int
    step: int
    opens: bool = False
    closes: bool = False


@dataclass
class Result:
    """A word on its way out, after `wait` more cycles where it is."""

    value: int
    fold: int
    row: int
    wait: int = 0


@dataclass
class Stationary:
    """A word on its way down to the row where it stays."""

    value: int
    row: int


@dataclass(frozen=True)
class Fold:
    """A product of pieces, `left` streamed from the left; `rows`, `cols`: where it belongs."""

    left: Matrix
    top: Matrix
    rows: slice
    cols: slice


@dataclass
class OutputStationary:
    """Operands enter skewed from left and top and move on; each PE sums its own ofmap word.

    A finished word goes to the PE's second register and, when the last PE of its column has
    finished, down through all rows and out.
    """

    rows: int
    cols: int
    left: dict[Place, Operand] = field(default_factory=dict)  # at the edge, by (cycle, row)
    top: dict[Place, Operand] = field(default_factory=dict)  # by (cycle, column)
    rightward: dict[Place, Operand] = field(default_factory=dict)  # by (row, column)
    downward: dict[Place, Operand] = field(default_factory=dict)
    sums: dict[Place, int] = field(default_factory=dict)
    leaving: dict[Place, Result] = field(default_factory=dict)
    heights: dict[int, int] = field(default_factory=dict)

    def feed(self, index: int, fold: Fold, cycle: int) -> None:
        """Put a fold's operands on the edges, the first at `cycle`."""
        height, steps = fold.left.shape
        self.heights[index] = height
        for step in range(steps):
            ends = (step == 0, step == steps - 1)
            for row in range(height):
                word = int(fold.left[row, step])
                self.left[cycle + row + step, row] = Operand(word, index, step, *ends)
            for col in range(fold.top.shape[1]):
                word = int(fold.top[step, col])
                self.top[cycle + col + step, col] = Operand(word, index, step, *ends)

    def step(self, cycle: int) -> Iterator[tuple[int, Place, int]]:
        """One cycle; yields (fold, place in its ofmap, value) of what leaves."""
        leaving: dict[Place, Result] = {}
        for (row, col), word in self.leaving.items():
            if word.wait:
                word.wait -= 1
                leaving[row, col] = word
            elif row == self.rows - 1:
                yield word.fold, (word.row, col), word.value
            else:
                leaving[row + 1, col] = word
        rightward = {(row, col + 1): word for (row, col), word in self.rightward.items()}
        downward = {(row + 1, col): word for (row, col), word in self.downward.items()}
        for row in range(self.rows):
            if (cycle, row) in self.left:
                rightward[row, 0] = self.left.pop((cycle, row))
        for col in range(self.cols):
            if (cycle, col) in self.top:
                downward[0, col] = self.top.pop((cycle, col))
        inside = range(self.rows), range(self.cols)
        self.rightward = {(r, c): w for (r, c), w in rightward.items() if c in inside[1]}
        self.downward = {(r, c): w for (r, c), w in downward.items() if r in inside[0]}
        for place in self.rightward.keys() & self.downward.keys():
            left, top = self.rightward[place], self.downward[place]
            before = 0 if left.opens else self.sums.get(place, 0)
            self.sums[place] = before + left.value * top.value
            if left.closes:
                wait = self.heights[left.fold] - 1 - place[0]
                leaving[place] = Result(self.sums[place], left.fold, place[0], wait)
        self.leaving = leaving


@dataclass
class WeightStationary:
    """`top` is shifted in through the rows and stays; sums move down, one register per hop.

    Each PE has a shadow register, where the next fold's word waits until the first operand of
    that fold comes by. Sums leave through all rows.
    """

    rows: int
    cols: int
    left: dict[Place, Operand] = field(default_factory=dict)
    top: dict[Place, Stationary] = field(default_factory=dict)
    rightward: dict[Place, Operand] = field(default_factory=dict)
    shadow: dict[Place, Stationary] = field(default_factory=dict)
    active: dict[Place, int] = field(default_factory=dict)
    sums: dict[Place, Result] = field(default_factory=dict)

    def feed(self, index: int, fold: Fold, cycle: int) -> None:
        """Put a fold's words on the edges: it starts to load at `cycle`, then streams."""
        self.load(fold, cycle)
        self.stream(index, fold, cycle + len(fold.top))

    def load(self, fold: Fold, cycle: int) -> None:
        """The deepest row's word first, each column a cycle after the one before."""
        height, width = fold.top.shape
        for col in range(width):
            for row in range(height):
                word = Stationary(int(fold.top[row, col]), row)
                self.top[cycle + height - 1 - row + col, col] = word

    def stream(self, index: int, fold: Fold, cycle: int) -> None:
        """Step by step, each row a cycle after the one above."""
        steps, height = fold.left.shape
        for step in range(steps):
            for row in range(height):
                word = Operand(int(fold.left[step, row]), index, step, opens=step == 0)
                self.left[cycle + row + step, row] = word

    def step(self, cycle: int) -> Iterator[tuple[int, Place, int]]:
        """One cycle; yields (fold, place in its ofmap, value) of what leaves."""
        rightward = {(r, c + 1): w for (r, c), w in self.rightward.items() if c + 1 < self.cols}
        for row in range(self.rows):
            if (cycle, row) in self.left:
                rightward[row, 0] = self.left.pop((cycle, row))
        for place, operand in rightward.items():
            if operand.opens:
                word = self.shadow.pop(place, None)
                self.active[place] = word.value if word and word.row == place[0] else 0
        self.rightward = rightward
        self.shift()
        for col in range(self.cols):
            if (cycle, col) in self.top:
                self.shadow[0, col] = self.top.pop((cycle, col))
        yield from self.add_up()

    def shift(self) -> None:
        """Words not yet in their row move down, and push out what they meet."""
        shadow = {place: word for place, word in self.shadow.items() if word.row == place[0]}
        for (row, col), word in self.shadow.items():
            if word.row != row and row + 1 < self.rows:
                shadow[row + 1, col] = word
        self.shadow = shadow

    def add_up(self) -> Iterator[tuple[int, Place, int]]:
        """Each PE adds its product to the sum from above; the last row's leaves."""
        sums: dict[Place, Result] = {}
        for row in range(self.rows):
            for col in range(self.cols):
                above, operand = self.sums.get((row - 1, col)), self.rightward.get((row, col))
                if operand is None and above is None:
                    continue
                value = above.value if above else 0
                if operand is not None:
                    value += operand.value * self.active.get((row, col), 0)
                fold, step = (above.fold, above.row) if above else (operand.fold, operand.step)
                if row == self.rows - 1:
                    yield fold, (step, col), value
                else:
                    sums[row, col] = Result(value, fold, step)
        self.sums = sums


def cut(total: int, size: int) -> list[slice]:
    """`total` indices in pieces of `size`."""
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


def padded(piece: Matrix, rows: int | None, cols: int | None) -> Matrix:
    """`piece` with zeros up to `rows` x `cols`, which None leaves as it is."""
    grow = [
        (0, (want or have) - have) for have, want in zip(piece.shape, (rows, cols), strict=True)
    ]
    return np.pad(piece, grow)


def output_folds(a: Matrix, b: Matrix, rows: int, cols: int, used: bool) -> list[Fold]:
    """The folds of A @ B with the ofmap in place; full edge folds are padded with zeros."""
    height, width = (None, None) if used else (rows, cols)
    return [
        Fold(padded(a[part_m], height, None), padded(b[:, part_n], None, width), part_m, part_n)
        for part_m in cut(len(a), rows)
        for part_n in cut(b.shape[1], cols)
    ]


def weight_folds(a: Matrix, b: Matrix, rows: int, cols: int, used: bool) -> list[Fold]:
    """The folds of A @ B with B in place; full edge folds are padded with zeros."""
    height, width = (None, None) if used else (rows, cols)
    return [
        Fold(
            padded(a[:, part_k], None, height),
            padded(b[part_k, part_n], height, width),
            slice(0, len(a)),
            part_n,
        )
        for part_n in cut(b.shape[1], cols)
        for part_k in cut(len(b), rows)
    ]


@dataclass(frozen=True)
class Run:
    """What left the array: the sums, how many words were expected and seen, and the cycles."""

    product: Matrix
    expected: int
    seen: int
    cycles: int


def run(
    dataflow: str, a: Matrix, b: Matrix, rows: int, cols: int, used: bool, interval: int | None
) -> Run:
    """A @ B on a clocked array. A fold starts `interval` cycles after the one before.

    With no interval, when the one before has left the array entirely.
    """
    if dataflow == "is":  # the same array as WS; A is loaded, and the ofmap comes out turned
        turned = run("ws", b.T, a.T, rows, cols, used, interval)
        return Run(turned.product.T, turned.expected, turned.seen, turned.cycles)
    make, place = {
        "os": (OutputStationary, output_folds),
        "ws": (WeightStationary, weight_folds),
    }[dataflow]
    folds, array = place(a, b, rows, cols, used), make(rows, cols)
    expected = [_words(dataflow, fold) for fold in folds]
    if interval is None:
        waiting = list(enumerate(folds))
    else:
        waiting = []
        _feed_all(array, folds, interval)
    product = np.zeros((len(a), b.shape[1]), np.int64)
    seen, cycle, last, missing = 0, 0, 0, 0
    while cycle < last + 60:  # nothing stays that long in an array this small
        if waiting and not missing:
            index, fold = waiting.pop(0)
            array.feed(index, fold, cycle)
            missing = expected[index]
        for index, (row, col), value in array.step(cycle):
            if col >= folds[index].top.shape[1]:
                continue  # operands move on through columns that the fold does not use
            seen, last, missing = seen + 1, cycle, missing - 1
            part = product[folds[index].rows, folds[index].cols]
            if row < part.shape[0] and col < part.shape[1]:
                part[row, col] += value
        cycle += 1
    return Run(product, sum(expected), seen, last + 1)


def _words(dataflow: str, fold: Fold) -> int:
    return len(fold.left) * fold.top.shape[1]


def _feed_all(array: OutputStationary | WeightStationary, folds: list[Fold], interval: int) -> None:
    """All folds, `interval` apart. Stationary words are loaded just before they are needed."""
    for index, fold in enumerate(folds):
        if isinstance(array, OutputStationary):
            array.feed(index, fold, index * interval)
        else:
            begin = len(folds[0].top) + index * interval
            array.load(fold, begin - len(fold.top))
            array.stream(index, fold, begin)
