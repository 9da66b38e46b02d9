"""The dataflows of a systolic array: each a row of a table with the law of its folds.

A law says where the sums are while a fold runs, and all that follows from it. There are two:
sums move down the columns past the operand that stays (WS, IS), or they stay in the PEs and
leave when they are complete (OS). Each holds for k on one side of the array only.

A law also says which words cross the array's edge in which steps of a fold. Between a buffer and
the edge lie the registers that skew and align words, so a buffer reads all words of a step, or
writes all those of a result, in one step.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal, Protocol

import numpy as np

from accelsim.hardware import DataflowName, MappingObjective, Operand
from accelsim.lowering.extents import OPERAND_AXES, Axis, Cycles, Extents, FoldClass, Truth

Side = Literal["rows", "cols", "time"]
SIDES: tuple[Side, ...] = ("rows", "cols", "time")
Words = dict[Operand, Cycles]
Corner = tuple[Cycles, Cycles]
"""Rows and columns of PEs."""


@dataclass(frozen=True, slots=True)
class Part:
    """Steps of a fold in each of which the same `words` of every operand cross the edge."""

    steps: Cycles
    words: Words


class Law(Protocol):
    """What a dataflow's folds take beyond the steps that they stream."""

    @property
    def reduction(self) -> Side:
        """Where k must lie for the law to hold."""

    @property
    def psums_move(self) -> bool:
        """Whether psums pass from PE to PE while the fold runs."""

    def leaving_cycles(self, array: "ArrayModel") -> int:
        """Cycles that the last sum takes to leave the array."""

    def least_turn(self, array: "ArrayModel", rows: Cycles, cols: Cycles) -> Cycles:
        """Cycles from one pipelined fold's start to the next one's, however few its steps."""

    def turns_vary(self, array: "ArrayModel") -> bool:
        """Whether the least turn depends on the PEs that a fold uses."""

    def last_skew(self, array: "ArrayModel", tile: Extents, last: Corner) -> Corner:
        """Rows and columns that skew the last results of a pipelined tile with used edges.

        Those of the `last` fold, but for what earlier, fuller folds leave of theirs.
        """

    def shadowed(self, array: "ArrayModel", fold: FoldClass) -> Part:
        """What a pipelined array moves through shadow registers, beside other folds."""

    def reads(self, array: "ArrayModel", fold: FoldClass) -> Words:
        """Words that each step of the streaming reads."""

    def writes(self, array: "ArrayModel", fold: FoldClass) -> Words:
        """Words that leave for each step of the streaming, `lag` steps later."""

    def lag(self, array: "ArrayModel", fold: FoldClass) -> Cycles:
        """Steps from reading to writing."""

    def paced(self, array: "ArrayModel", least_turn: Cycles) -> Cycles:
        """How much of the least turn passes at the pace of the next fold's streaming."""


@dataclass(frozen=True, slots=True)
class SumsMove:
    """k lies on the rows: one operand stays, and psums move down the columns and out (WS, IS)."""

    reduction: Side = "rows"
    psums_move: bool = True

    def leaving_cycles(self, array: "ArrayModel") -> int:
        """A psum passes its registers in every row."""
        return array.psum_registers * array.rows

    def least_turn(self, array: "ArrayModel", rows: Cycles, cols: Cycles) -> Cycles:
        """The next stationary word follows when the operands have taken up the one before.

        There is one shadow register in a PE, and the operands keep to the psums' pace.
        """
        return array.psum_registers * (array.rows - 1) + 1

    def turns_vary(self, array: "ArrayModel") -> bool:
        """Never: stationary words and psums pass all rows."""
        return False

    def last_skew(self, array: "ArrayModel", tile: Extents, last: Corner) -> Corner:
        """The last fold's operands follow those of the folds before it, as skewed as they are.

        Columns that it does not use may finish an earlier one, some turns ago, later still.
        """
        _, cols, steps = array.sizes(tile)
        depth = array.reduced(tile)
        turn = array.turn(steps, tile.lines, self.least_turn(array, *last))
        before = np.minimum(cols, array.cols) - depth.folds(array.rows) * turn
        return np.minimum(depth.size, array.rows), np.maximum(last[1], before)

    def shadowed(self, array: "ArrayModel", fold: FoldClass) -> Part:
        """The operand that stays is loaded row by row."""
        rows, cols, _ = array.sides(fold)
        return Part(rows, {array.dataflow.operand("rows", "cols"): cols})

    def reads(self, array: "ArrayModel", fold: FoldClass) -> Words:
        """A word for each row, and for each column the psum that it goes on with."""
        rows, cols, _ = array.sides(fold)
        entering = cols * _count(fold.starts, of=False)
        return {array.dataflow.operand("rows", "time"): rows, "psum": entering}

    def writes(self, array: "ArrayModel", fold: FoldClass) -> Words:
        """A result of each column."""
        return _results(array.sides(fold)[1], fold)

    def lag(self, array: "ArrayModel", fold: FoldClass) -> Cycles:
        """A sum passes the rows, and is aligned with those of the last column."""
        cols = array.sides(fold)[1] if array.used_edges else array.cols
        return cols - 2 + array.exit_cycles

    def paced(self, array: "ArrayModel", least_turn: Cycles) -> Cycles:
        """What the deepest row's next word waits for psums that are slower than itself."""
        return least_turn - array.rows


@dataclass(frozen=True, slots=True)
class SumsStay:
    """k lies in time: each PE adds up its own ofmap word, which then drains (OS)."""

    reduction: Side = "time"
    psums_move: bool = False

    def leaving_cycles(self, array: "ArrayModel") -> int:
        """The ofmap drains through a whole lane."""
        return array.drain_cycles

    def least_turn(self, array: "ArrayModel", rows: Cycles, cols: Cycles) -> Cycles:
        """The next ofmap follows when its lane has drained through the second registers.

        Where all lanes drain at once, when the far corner has finished and all have drained.
        """
        if array.drain_start == "lane":
            return array.drain_cycles
        if not array.used_edges:
            rows, cols = array.rows, array.cols
        return rows + cols - 2 + array.drain_cycles

    def turns_vary(self, array: "ArrayModel") -> bool:
        """Where all lanes wait for the far corner of the PEs that are used."""
        return array.used_edges and array.drain_start == "array"

    def last_skew(self, array: "ArrayModel", tile: Extents, last: Corner) -> Corner:
        """Lanes that the last fold does not use may finish an earlier one, some turns ago, later.

        Not so where all drain at once.
        """
        if self.turns_vary(array):
            return last
        rows, cols, steps = array.sizes(tile)
        turn = np.maximum(steps, self.least_turn(array, *last))
        if array.drain == "rows":
            return last[0], np.maximum(last[1], np.minimum(cols, array.cols) - turn)
        before = np.minimum(rows, array.rows) - -(-cols // array.cols) * turn
        return np.maximum(last[0], before), last[1]

    def shadowed(self, array: "ArrayModel", fold: FoldClass) -> Part:
        """The ofmap drains, a word of every lane at a time.

        Psums that the array goes on with come in behind those that leave, through the same lanes.
        """
        rows, cols, _ = array.sides(fold)
        along, lanes = (rows, cols) if array.drain == "rows" else (cols, rows)
        words = _results(lanes, fold)
        entering = lanes * _count(fold.starts, of=False)
        return Part(along, {**words, "psum": words["psum"] + entering})

    def reads(self, array: "ArrayModel", fold: FoldClass) -> Words:
        """A word for each row and one for each column."""
        rows, cols, _ = array.sides(fold)
        left, top = (array.dataflow.operand(side, "time") for side in SIDES[:2])
        return {left: rows, top: cols}

    def writes(self, array: "ArrayModel", fold: FoldClass) -> Words:
        """Nothing leaves while operands stream."""
        return {}

    def lag(self, array: "ArrayModel", fold: FoldClass) -> Cycles:
        """None."""
        return 0

    def paced(self, array: "ArrayModel", least_turn: Cycles) -> Cycles:
        """What lanes that drain together wait for the far corner."""
        return least_turn - array.drain_cycles


def _count(truth: Truth, of: bool) -> Cycles:
    """1 where `truth` is what is counted, else 0."""
    return np.equal(truth, of).astype(np.int64)


def _results(lanes: Cycles, fold: FoldClass) -> dict[Operand, Cycles]:
    """Words of one result: of the ofmap, or psums where the sums go on."""
    return {
        "psum": lanes * _count(fold.ends, of=False),
        "ofmap": lanes * _count(fold.ends, of=True),
    }


@dataclass(frozen=True, slots=True)
class Dataflow:
    """Which GEMM axes lie on the array rows, on the columns, and along time, and their law.

    Axes that the law does not hold for are refused.
    """

    rows: Axis
    cols: Axis
    time: Axis
    law: Law

    def __post_init__(self) -> None:
        axes = {self.rows, self.cols, self.time}
        if axes != {"m", "n", "k"} or getattr(self, self.law.reduction) != "k":
            raise ValueError(
                f"no law for {self.rows} on the rows, {self.cols} on the columns and {self.time} "
                f"in time: {type(self.law).__name__} needs m, n, k once each and k on the "
                f"{self.law.reduction} side"
            )

    def operand(self, side: Side, other: Side) -> Operand:
        """The operand that is indexed by the axes of two sides; of two sums, the psum."""
        axes = {getattr(self, side), getattr(self, other)}
        return next(item for item, indexed in OPERAND_AXES.items() if set(indexed) == axes)


DATAFLOW_OF: dict[DataflowName, Dataflow] = {
    "os": Dataflow("m", "n", "k", SumsStay()),
    "ws": Dataflow("k", "n", "m", SumsMove()),
    "is": Dataflow("k", "m", "n", SumsMove()),
}


@dataclass(frozen=True, slots=True)
class Lanes:
    """A buffer's words per fold: its rate, and the operands it feeds with their word sizes."""

    bytes_per_cycle: Fraction
    word_bytes: tuple[tuple[Operand, int], ...]


@dataclass(frozen=True, slots=True)
class Reduction:
    """k as it is laid on one side of the array: `parts` that share no fold, each of `size`."""

    size: Cycles
    parts: Cycles

    def folds(self, lanes: int) -> Cycles:
        """Folds that `lanes` PEs cut from it."""
        return self.parts * -(-self.size // lanes)


@dataclass(frozen=True, slots=True)
class ArrayModel:
    """The array as the fold law sees it. `buffers` lists only those that can limit a fold.

    `by_tap`: only channels of one tap lie on the reduction side, and the taps follow one after
    another; else all of a window is packed together there. Where pixels stream, they do so in
    pieces of at most `piece` of one row (0: all together), each of which takes `least_piece` steps;
    the array holds `in_flight` of them (0: as many as come).
    """

    rows: int
    cols: int
    dataflow: Dataflow
    pipelined: bool
    used_edges: bool
    buffers: tuple[Lanes, ...] = ()
    drain: Literal["rows", "cols"] = "rows"
    drain_start: Literal["lane", "array"] = "lane"
    mac_stages: int = 1
    psum_registers: int = 1
    by_tap: bool = False
    piece: int = 0
    least_piece: int = 1
    in_flight: int = 0
    reserves_blocks: ClassVar[bool] = False
    fuses: ClassVar[bool] = True
    skips_rows: ClassVar[bool] = True
    keeps_weights: ClassVar[bool] = True
    objective: ClassVar[MappingObjective] = "time"

    @property
    def psums_move(self) -> bool:
        """Whether psums pass down the columns (WS, IS); else the ofmap stays (OS)."""
        return self.dataflow.law.psums_move

    @property
    def drain_cycles(self) -> int:
        """Cycles in which an ofmap that stays leaves the array, one word per lane and cycle."""
        return self.rows if self.drain == "rows" else self.cols

    @property
    def exit_cycles(self) -> int:
        """Cycles beyond skew and streaming that the MACs and the way out take."""
        return self.dataflow.law.leaving_cycles(self) + self.mac_stages - 1

    @property
    def overhead(self) -> int:
        """Fill and drain of a full fold: its cycles beyond the steps it streams.

        See `fold_overhead`.
        """
        return self.rows + self.cols - 2 + self.exit_cycles

    @property
    def turns_vary(self) -> bool:
        """Whether the least turn of a pipelined fold depends on the PEs it uses."""
        return self.dataflow.law.turns_vary(self)

    @property
    def streams_pieces(self) -> bool:
        """Whether pixels stream, and in pieces."""
        return self.piece > 0 and self.dataflow.time == "m"

    def turn(self, steps: Cycles, lines: Cycles, least: Cycles) -> Cycles:
        """Cycles from a pipelined fold's start to the next one's, where no buffer limits it.

        `steps` pixels lie in so many `lines`. What the shadow registers take, `least`, goes on
        beside the first piece. A piece is in the array until its last pixel has passed the
        registers before, in and behind it, rows + cols + 1; on the mean a new one enters
        `in_flight` times in that time and its own.
        """
        if not self.streams_pieces:
            return steps + np.maximum(least - steps, 0)
        whole, rest = np.divmod(steps // lines, self.piece)
        some = np.minimum(rest, 1)
        last = some * np.maximum(rest, self.least_piece)
        first = np.where(whole > 0, self.piece, last)
        fed: Cycles = lines * (whole * self.piece + last) + np.maximum(least - first, 0)
        if not self.in_flight:
            return fed
        passed = fed + lines * (whole + some) * (self.rows + self.cols + 1)
        through: Cycles = -(-passed // self.in_flight)
        return fed + np.maximum(through - fed, 0)

    def sides(self, fold: FoldClass) -> tuple[Cycles, Cycles, Cycles]:
        """Extents of a fold along the rows, along the columns, and in time."""
        flow = self.dataflow
        return fold.extent[flow.rows], fold.extent[flow.cols], fold.extent[flow.time]

    def sizes(self, tile: Extents) -> tuple[Cycles, Cycles, Cycles]:
        """Sizes of a tile along the rows, along the columns, and in time."""
        flow = self.dataflow
        return tile.along(flow.rows), tile.along(flow.cols), tile.along(flow.time)

    def reduced(self, tile: Extents) -> Reduction:
        """How the k of a tile, or of tilings under comparison, is laid on the array."""
        if self.by_tap:
            return Reduction(tile.k // tile.taps, tile.taps)
        return Reduction(tile.k, 1)
