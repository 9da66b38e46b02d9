"""Systolic arrays stepped register by register: they compute A @ B, and their clock is counted.

Nothing here knows a cycle law. A PE has one register for each thing that passes through it, a
value moves one register per cycle, and a register written while it still holds something loses
what it held. Cycle 0 is the first in which an operand crosses the array's edge.
"""

from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.int64]
Place = tuple[int, int]
Word = TypeVar("Word")


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
    place: Place  # in the fold's ofmap
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


@dataclass(frozen=True)
class Registers:
    """What a PE has besides the registers that every systolic array needs.

    `mac_stages` from operands to the result: all but the last hold products. `psum`: passed in
    each PE by a sum that moves. A sum that stays leaves along its `drain` (rows: down the
    column, cols: along the row), started by its own lane or, `together`, all at once.
    """

    mac_stages: int = 1
    psum: int = 1
    drain: str = "rows"
    together: bool = False


class Delay(Generic[Word]):
    """Registers in a row in every PE: what enters comes out `length` cycles later."""

    def __init__(self, length: int) -> None:
        self.held: deque[dict[Place, Word]] = deque({} for _ in range(length))

    def step(self, entering: dict[Place, Word]) -> dict[Place, Word]:
        """One cycle: what leaves."""
        self.held.append(entering)
        return self.held.popleft()


@dataclass
class Product:
    """An operand pair multiplied, on its way to the adder."""

    value: int
    operand: Operand


@dataclass
class OutputStationary:
    """Operands enter skewed from left and top and move on; each PE sums its own ofmap word.

    A finished word goes to the PE's second register and, when the last PE of its lane has
    finished, through the rest of the lane and out. Lanes that drain together share one enable:
    from when the far corner of a fold has finished, all second registers shift.
    """

    rows: int
    cols: int
    registers: Registers = Registers()
    left: dict[Place, Operand] = field(default_factory=dict)  # at the edge, by (cycle, row)
    top: dict[Place, Operand] = field(default_factory=dict)  # by (cycle, column)
    rightward: dict[Place, Operand] = field(default_factory=dict)  # by (row, column)
    downward: dict[Place, Operand] = field(default_factory=dict)
    sums: dict[Place, int] = field(default_factory=dict)
    leaving: dict[Place, Result] = field(default_factory=dict)
    shapes: dict[int, Place] = field(default_factory=dict)
    shifts: int = 0  # left to do, where lanes drain together

    def __post_init__(self) -> None:
        self.products: Delay[Product] = Delay(self.registers.mac_stages - 1)

    def feed(self, index: int, fold: Fold, cycle: int) -> None:
        """Put a fold's operands on the edges, the first at `cycle`."""
        height, steps = fold.left.shape
        self.shapes[index] = height, fold.top.shape[1]
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
        leaving = yield from self.shift()
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
        pairs = {
            place: Product(self.rightward[place].value * self.downward[place].value, word)
            for place, word in self.rightward.items()
            if place in self.downward
        }
        leaving.update(self.add(self.products.step(pairs)))
        self.leaving = leaving

    def shift(self) -> Generator[tuple[int, Place, int], None, dict[Place, Result]]:
        """Words move on along their lane and, from its last PE, out."""
        down, right = (1, 0) if self.registers.drain == "rows" else (0, 1)
        leaving: dict[Place, Result] = {}
        for (row, col), word in self.leaving.items():
            if self.registers.together and not self.shifts:
                leaving[row, col] = word
            elif not self.registers.together and word.wait:
                word.wait -= 1
                leaving[row, col] = word
            elif row + down < self.rows and col + right < self.cols:
                leaving[row + down, col + right] = word
            else:
                yield word.fold, word.place, word.value
        self.shifts = max(0, self.shifts - 1)
        return leaving

    def add(self, products: dict[Place, Product]) -> Iterator[tuple[Place, Result]]:
        """Each PE adds its product; what a fold has finished goes to the second register."""
        lane = self.rows if self.registers.drain == "rows" else self.cols
        for place, product in products.items():
            operand = product.operand
            before = 0 if operand.opens else self.sums.get(place, 0)
            self.sums[place] = before + product.value
            if operand.closes:
                height, width = self.shapes[operand.fold]
                rest = height - 1 - place[0], width - 1 - place[1]
                if not any(rest):
                    self.shifts = lane
                wait = rest[0 if self.registers.drain == "rows" else 1]
                yield place, Result(self.sums[place], operand.fold, place, wait)


@dataclass
class WeightStationary:
    """`top` is shifted in through the rows and stays; sums move down through their registers.

    Each PE has a shadow register, where the next fold's word waits until the first operand of
    that fold comes by. The operands of a row come as much later than those of the row above as
    the sums take from there. Sums leave through all rows.
    """

    rows: int
    cols: int
    registers: Registers = Registers()
    left: dict[Place, Operand] = field(default_factory=dict)
    top: dict[Place, Stationary] = field(default_factory=dict)
    rightward: dict[Place, Operand] = field(default_factory=dict)
    shadow: dict[Place, Stationary] = field(default_factory=dict)
    active: dict[Place, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.products: Delay[Product] = Delay(self.registers.mac_stages - 1)
        self.sums: Delay[Result] = Delay(self.registers.psum)
        self.leaving: Delay[Result] = Delay(self.registers.psum - 1)

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
        """Step by step, each row a psum's hop after the one above."""
        steps, height = fold.left.shape
        for step in range(steps):
            for row in range(height):
                word = Operand(int(fold.left[step, row]), index, step, opens=step == 0)
                self.left[cycle + row * self.registers.psum + step, row] = word

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
        products = {
            place: Product(word.value * self.active.get(place, 0), word)
            for place, word in self.rightward.items()
        }
        yield from self.add_up(self.products.step(products))

    def shift(self) -> None:
        """Words not yet in their row move down, and push out what they meet."""
        shadow = {place: word for place, word in self.shadow.items() if word.row == place[0]}
        for (row, col), word in self.shadow.items():
            if word.row != row and row + 1 < self.rows:
                shadow[row + 1, col] = word
        self.shadow = shadow

    def add_up(self, products: dict[Place, Product]) -> Iterator[tuple[int, Place, int]]:
        """Each PE adds its product to the sum that arrives from above; the last row's leave.

        A sum is out when the last of the bottom PE's registers takes it.
        """
        arriving = self.sums.step({})
        sums: dict[Place, Result] = {}
        for place in products.keys() | {(row + 1, col) for row, col in arriving}:
            above, product = arriving.get((place[0] - 1, place[1])), products.get(place)
            value = (above.value if above else 0) + (product.value if product else 0)
            if above:
                sums[place] = Result(value, above.fold, above.place)
            else:
                operand = product.operand
                sums[place] = Result(value, operand.fold, (operand.step, place[1]))
        bottom = self.rows - 1
        self.sums.held[-1].update({at: word for at, word in sums.items() if at[0] < bottom})
        last = {at: word for at, word in sums.items() if at[0] == bottom}
        for word in self.leaving.step(last).values():
            yield word.fold, word.place, word.value


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


def weight_folds(
    a: Matrix, b: Matrix, rows: int, cols: int, used: bool, taps: int = 1
) -> list[Fold]:
    """The folds of A @ B with B in place; full edge folds are padded with zeros.

    The inner index counts `taps` parts, one after another, of which no two share a fold.
    """
    channels = len(b) // taps
    parts_k = [
        slice(tap * channels + part.start, tap * channels + part.stop)
        for tap in range(taps)
        for part in cut(channels, rows)
    ]
    height, width = (None, None) if used else (rows, cols)
    return [
        Fold(
            padded(a[:, part_k], None, height),
            padded(b[part_k, part_n], height, width),
            slice(0, len(a)),
            part_n,
        )
        for part_n in cut(b.shape[1], cols)
        for part_k in parts_k
    ]


@dataclass(frozen=True)
class Run:
    """What left the array: the sums, how many words were expected and seen, and the cycles."""

    product: Matrix
    expected: int
    seen: int
    cycles: int


def run(
    dataflow: str,
    a: Matrix,
    b: Matrix,
    rows: int,
    cols: int,
    used: bool,
    turns: list[int] | None,
    registers: Registers = Registers(),
    taps: int = 1,
) -> Run:
    """A @ B on a clocked array. Each fold is followed by the next after the cycles of its turn.

    With no turns, when it has left the array entirely. The columns of A are the channels of the
    first of `taps` taps, of the second, ..., which the array takes in that order.
    """
    if dataflow == "is":  # the same array as WS; A is loaded, and the ofmap comes out turned
        turned = run("ws", b.T, a.T, rows, cols, used, turns, registers, taps)
        return Run(turned.product.T, turned.expected, turned.seen, turned.cycles)
    array: OutputStationary | WeightStationary
    if dataflow == "os":
        folds, array = output_folds(a, b, rows, cols, used), OutputStationary(rows, cols, registers)
    else:
        folds = weight_folds(a, b, rows, cols, used, taps)
        array = WeightStationary(rows, cols, registers)
    expected = [_words(dataflow, fold) for fold in folds]
    if turns is None:
        waiting = list(enumerate(folds))
    else:
        waiting = []
        _feed_all(array, folds, turns)
    product = np.zeros((len(a), b.shape[1]), np.int64)
    seen, cycle, last, missing = 0, 0, 0, 0
    while cycle < last + 100:  # nothing stays that long in an array this small
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


def _feed_all(
    array: OutputStationary | WeightStationary, folds: list[Fold], turns: list[int]
) -> None:
    """All folds in their turns. Stationary words are loaded just before they are needed."""
    begin = 0 if isinstance(array, OutputStationary) else len(folds[0].top)
    for (index, fold), turn in zip(enumerate(folds), turns, strict=True):
        if isinstance(array, OutputStationary):
            array.feed(index, fold, begin)
        else:
            array.load(fold, begin - len(fold.top))
            array.stream(index, fold, begin)
        begin += turn
