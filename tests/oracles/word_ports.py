"""Arrays whose buffers move so many bytes per cycle, played on the clock.

Nothing here knows a cycle law. A serial fold's words come from an array stepped register by
register; the registers between a buffer and the array's edge, which skew operands and align
results, are undone, so that a word is read and written in the step of its vector. Pipelined folds
are played vector by vector. In each cycle a port gets its rate of bytes to move; the array goes on
by a step when all ports have moved the words of that step, and stands still otherwise.
"""

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from oracles.systolic import (
    Fold,
    OutputStationary,
    Registers,
    WeightStationary,
    output_folds,
    weight_folds,
)

Words = Counter[str]  # by operand: left, top, psum, ofmap


@dataclass
class Port:
    """A buffer's side to the array: bytes per cycle, and the word sizes of what it moves."""

    rate: Fraction
    word_bytes: dict[str, int]
    tokens: Fraction = Fraction(0)

    def needs(self, words: Words) -> int:
        return sum(words[operand] * size for operand, size in self.word_bytes.items())


def clocked(steps: list[Words], ports: list[Port], ahead: bool) -> int:
    """Cycles until all steps have been made.

    `ahead`: what a port has left of a cycle counts for the next step whatever it is; else only
    for one of the same words.
    """
    cycle = 0
    for before, words in zip([Counter(), *steps], steps, strict=False):
        if not ahead and words != before:
            for port in ports:
                port.tokens = Fraction(0)
        while True:
            cycle += 1
            for port in ports:
                port.tokens += port.rate
            if all(port.tokens >= port.needs(words) for port in ports):
                break
        for port in ports:
            port.tokens = min(port.tokens - port.needs(words), port.rate)
    return cycle


@dataclass(frozen=True)
class Shape:
    """One fold on an array: what it uses, what the array has, and whether sums go on."""

    used_rows: int
    used_cols: int
    steps: int
    rows: int
    cols: int
    used: bool  # edges cost what they fill
    starts: bool = True
    ends: bool = True


def serial_steps(dataflow: str, shape: Shape, registers: Registers) -> list[Words]:
    """What crosses the array's edge in each step of a fold that has the array to itself."""
    rng = np.random.default_rng(shape.steps)
    height, width, steps = shape.used_rows, shape.used_cols, shape.steps
    stays = dataflow == "os"
    a = rng.integers(1, 50, (height, steps) if stays else (steps, height))
    b = rng.integers(1, 50, (steps, width) if stays else (height, width))
    place = output_folds if stays else weight_folds
    (fold,) = place(a, b, shape.rows, shape.cols, shape.used)
    array = (OutputStationary if stays else WeightStationary)(shape.rows, shape.cols, registers)
    array.feed(0, fold, 0)
    steps_of: dict[int, Words] = {}

    def note(step: int, operand: str, count: int = 1) -> None:
        steps_of.setdefault(step, Counter())[operand] += count

    _note_reads(array, shape, note)
    if not stays and not shape.starts:
        for step in range(steps):  # psums come with the operands of their step
            note(len(fold.top) + step, "psum", width)
    product = np.zeros_like(a @ b)
    for step, (row, col), value in _leaving(array, fold, shape, registers):
        note(step, "ofmap" if shape.ends else "psum")
        if stays and not shape.starts:
            note(step, "psum")  # one comes in behind
        product[row, col] += value
    assert np.array_equal(product, a @ b)
    return [steps_of.get(step, Counter()) for step in range(max(steps_of) + 1)]


def _note_reads(array, shape: Shape, note) -> None:  # type: ignore[no-untyped-def]
    pace = 1 if isinstance(array, OutputStationary) else array.registers.psum
    for cycle, row in array.left:
        if row < shape.used_rows:
            note(cycle - row * pace, "left")
    for (cycle, col), word in array.top.items():
        if col < shape.used_cols and getattr(word, "row", 0) < shape.used_rows:
            note(cycle - col, "top")


def _leaving(array, fold: Fold, shape: Shape, registers: Registers):  # type: ignore[no-untyped-def]
    """(step, place, value) of what leaves and is no padding, aligned with the last lane."""
    stays = isinstance(array, OutputStationary)
    by_row = stays and registers.drain == "cols"
    last = (fold.left.shape[0] if by_row else fold.top.shape[1]) - 1
    for cycle in range(400):
        for _, (row, col), value in array.step(cycle):
            inside = col < shape.used_cols and (not stays or row < shape.used_rows)
            if inside:
                skew = 0 if stays and registers.together else last - (row if by_row else col)
                yield cycle + skew, (row, col), value


@dataclass
class Flow:
    """What each port has moved of a vector; the rest of a cycle is for the one after."""

    ports: list[Port]
    moved: list[Fraction] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.moved = [Fraction(0) for _ in self.ports]

    def move(self, words: Words, budgets: list[Fraction]) -> list[Fraction]:
        """Move a vector of `words` within the budgets; what is left of these."""
        left = []
        for at, (port, budget) in enumerate(zip(self.ports, budgets, strict=True)):
            most = port.needs(words) + (port.rate if port.needs(words) else 0)
            used = min(budget, max(most - self.moved[at], Fraction(0)))
            self.moved[at] += used
            left.append(budget - used)
        return left

    def take(self, words: Words) -> bool:
        """Use a vector if all ports have moved it."""
        needed = [port.needs(words) for port in self.ports]
        if any(moved < need for moved, need in zip(self.moved, needed, strict=True)):
            return False
        self.moved = [moved - need for moved, need in zip(self.moved, needed, strict=True)]
        return True


@dataclass
class Pipeline:
    """Folds one after another on an array with shadow registers, all of the same full `shape`.

    Vectors of operands enter in step with the array, and may be read one ahead. Results wait where
    they leave, in a queue for those of two folds. The stationary operand (or the ofmap, with
    `stays`) goes through the shadow registers by vectors. A port serves results first, then the
    operands of a fold that may stream, then the shadow registers.
    """

    shape: Shape
    registers: Registers
    ports: list[Port]
    stays: bool
    step: int = 0  # the array's next
    cycle: int = 0
    streamed: int = 0  # steps of the fold at hand
    fold: int = 0
    first: list[int] = field(default_factory=list)  # array step of each fold's first vector
    last: list[int] = field(default_factory=list)  # and of its last
    began: list[int] = field(default_factory=list)  # cycle of the first
    through: int = 0  # vectors through the shadow registers, of all folds
    leaving: set[int] = field(default_factory=set)  # array steps after which a result leaves
    queue: int = 0  # results that have left the array

    def play(self, folds: int) -> list[int]:
        """The cycle in which each fold begins to stream."""
        results, operands, shadow = (Flow(self.ports) for _ in range(3))
        while len(self.began) < folds:
            assert self.cycle < 100_000
            self.cycle += 1
            left = [port.rate for port in self.ports]
            if self.queue:
                left = results.move(self._result, left)
                self.queue -= results.take(self._result)
            reads = self._may_read
            if reads:
                left = operands.move(self._operands, left)
            if self.stays:  # the last word leaves as the next one comes
                left = self._pass_shadow(shadow, left)
            if self.queue == 2 * self.shape.steps:
                pass  # the array stands still
            elif not reads or self._awaits_shadow:
                self._advance(False)
            elif operands.take(self._operands):
                self._advance(True)
            if not self.stays:  # the next word comes as the operands take up the one before
                left = self._pass_shadow(shadow, left)
            if not reads:
                operands.move(self._operands, left)
        return self.began

    def _advance(self, reads: bool) -> None:
        """A step of the array, with the next vector if it reads one."""
        if reads:
            if self.streamed == 0:
                self.first.append(self.step)
                self.began.append(self.cycle)
            self.leaving.add(self.step + self._lag)
            self.streamed += 1
            if self.streamed == self.shape.steps:
                self.last.append(self.step)
                self.fold, self.streamed = self.fold + 1, 0
        self.queue += not self.stays and self.step in self.leaving
        self.step += 1

    def _pass_shadow(self, flow: Flow, budgets: list[Fraction]) -> list[Fraction]:
        """A vector through the shadow registers; what is left of the ports' cycle."""
        if self._shadow_is_ready():
            budgets = flow.move(self._shadow, budgets)
            self.through += flow.take(self._shadow)
        return budgets

    @property
    def _lag(self) -> int:
        taken = self.registers.psum * self.shape.rows + self.registers.mac_stages - 1
        return self.shape.cols - 2 + taken

    @property
    def _may_read(self) -> bool:
        """Whether a vector enters in the array's next step: once its fold is loaded."""
        loaded = self.stays or self.streamed > 0
        return loaded or self.through >= (self.fold + 1) * self._vectors

    @property
    def _awaits_shadow(self) -> bool:
        """Whether a sum is next that finds the shadow registers of the fold before in use."""
        final = self.stays and self.streamed == self.shape.steps - 1
        return final and self.through < self.fold * self._vectors

    @property
    def _vectors(self) -> int:
        """Vectors that a fold passes through the shadow registers."""
        by_col = self.stays and self.registers.drain == "cols"
        return self.shape.cols if by_col else self.shape.rows

    def _shadow_is_ready(self) -> bool:
        """Whether the next vector may pass into the shadow registers, or out of them."""
        fold, vector = divmod(self.through, self._vectors)
        if self.stays:
            skew = self.shape.rows + self.shape.cols - 2 if self.registers.together else 0
            return fold < len(self.last) and self.step > self.last[fold] + skew
        if fold == 0:
            return True
        # Words move down in step with the array. The one of a row must not be there before the
        # operands of that row, a psum's pace apart, have taken up the one before.
        row = self.shape.rows - 1 - vector
        wait = (self.registers.psum - 1) * row
        return fold <= len(self.first) and self.step > self.first[fold - 1] + wait

    @property
    def _operands(self) -> Words:
        """Words of a vector that enters, and of the psums that it goes on with."""
        words = Counter({"left": self.shape.used_rows})
        if self.stays:
            words["top"] = self.shape.used_cols
        elif not self.shape.starts:
            words["psum"] = self.shape.used_cols
        return words

    @property
    def _result(self) -> Words:
        return Counter({"ofmap" if self.shape.ends else "psum": self.shape.used_cols})

    @property
    def _shadow(self) -> Words:
        """Words of one vector through the shadow registers."""
        shape = self.shape
        if not self.stays:
            return Counter({"top": shape.used_cols})
        lanes = shape.used_cols if self.registers.drain == "rows" else shape.used_rows
        words = Counter({"ofmap" if shape.ends else "psum": lanes})
        words["psum"] += 0 if shape.starts else lanes
        return words
