"""The control of axis-systolic-array replayed cycle by cycle, with words for values.

Written from rtl/sa/axis_sa.sv (github.com/abarajithan11/axis-systolic-array), the versions whose
last beat is that of column C - 1, with one register for the product and one for the sum. PEs of
one diagonal (row + column) do the same in the same cycle.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

Word = tuple[int, int, int]  # fold, row, column
MAC_REGISTERS = 2


@dataclass(frozen=True)
class Beat:
    """What leaves in one cycle: a word of every row."""

    cycle: int
    words: tuple[Word | None, ...]


@dataclass
class AxisArray:
    """Results go to output registers, which shift to the last column and out, all together."""

    rows: int
    cols: int
    full: list[bool] = field(default_factory=list)  # output registers, by diagonal
    token: list[bool] = field(default_factory=list)  # follows the last word out, by diagonal
    out: dict[tuple[int, int], Word] = field(default_factory=dict)
    ended: deque[int | None] = field(default_factory=deque)  # fold of a last operand, by age

    def __post_init__(self) -> None:
        self.full = [False] * self.diagonals
        self.token = [False] * self.diagonals
        self.ended = deque([None] * (MAC_REGISTERS + self.diagonals))

    @property
    def diagonals(self) -> int:
        return self.rows + self.cols - 1

    def step(self, ends: int | None) -> tuple[bool, tuple[Word | None, ...] | None]:
        """One cycle, in which a fold may end; whether operands moved, and what left."""
        self.ended.appendleft(ends)
        done = [self.ended[MAC_REGISTERS + d] for d in range(self.diagonals)]
        stalled = any(fold is not None and self.full[d] for d, fold in enumerate(done))
        copies = [fold is not None and not self.full[d] for d, fold in enumerate(done)]
        shifts = self.full[-1]  # the far corner has its word
        token = [self.full[0], *self.token[1:]]
        last = shifts and token[self.cols - 1]
        left = None
        if shifts:
            left = tuple(self.out.get((row, self.cols - 1)) for row in range(self.rows))
        self._move_words(done, copies, shifts)
        for d in range(self.diagonals):
            cleared = last and d >= self.cols - 1
            self.full[d] = not cleared and (
                copies[d] or (self.full[d] and not (shifts and token[d]))
            )
            if shifts and d:
                self.token[d] = not cleared and token[d - 1]
        if stalled:
            self.ended.popleft()
        else:
            self.ended.pop()
        return not stalled, left

    def _move_words(self, done: list[int | None], copies: list[bool], shifts: bool) -> None:
        moved = dict(self.out)
        for row in range(self.rows):
            for col in range(self.cols):
                fold = done[row + col]
                if copies[row + col] and fold is not None:
                    moved[row, col] = fold, row, col
                elif shifts and col and (row, col - 1) in self.out:
                    moved[row, col] = self.out[row, col - 1]
        self.out = moved


def beats(rows: int, cols: int, steps: int, folds: int) -> Iterator[Beat]:
    """What leaves the array when `folds` products of `steps` steps stream in without a pause.

    Ends when nothing has left for long, or at twice the words that there are.
    """
    array, fed, seen, quiet, cycle = AxisArray(rows, cols), 0, 0, 0, 0
    while quiet < steps + 3 * (rows + cols) and seen < 2 * folds * cols:
        ends = fed // steps if fed < steps * folds and fed % steps == steps - 1 else None
        moved, left = array.step(ends)
        fed += moved
        quiet = 0 if left else quiet + 1
        if left:
            seen += 1
            yield Beat(cycle, left)
        cycle += 1


def expected(rows: int, cols: int, folds: int) -> list[tuple[Word, ...]]:
    """The words of every fold, the last column's first."""
    return [
        tuple((fold, row, col) for row in range(rows))
        for fold in range(folds)
        for col in reversed(range(cols))
    ]
