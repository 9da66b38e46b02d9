"""Registers of a clocked array, watched: every write, read and move of a word that is needed.

The arrays of `oracles.systolic` step; after each cycle this looks at what their registers hold.
A word that a register holds was written there, and is read in that cycle by what uses it or by
the register that it moves to. A word that no PE will use any more does not count.
"""

from collections import Counter

import numpy as np
from oracles.systolic import (
    Fold,
    Matrix,
    OutputStationary,
    WeightStationary,
    output_folds,
    weight_folds,
)

Counts = Counter[str]


def watched(
    dataflow: str, a: Matrix, b: Matrix, rows: int, cols: int, shadow: bool, taps: int = 1
) -> Counts:
    """Accesses and moves of A @ B, fold after fold. `shadow`: the PEs have shadow registers."""
    if dataflow == "is":
        return watched("ws", b.T, a.T, rows, cols, shadow, taps)
    counts: Counts = Counter()
    product = np.zeros((len(a), b.shape[1]), np.int64)
    if dataflow == "os":
        folds, watch = output_folds(a, b, rows, cols, used=True), _watch_sums_stay
    else:
        folds, watch = weight_folds(a, b, rows, cols, True, taps), _watch_operand_stays
    for fold in folds:
        watch(fold, rows, cols, shadow, counts, product[fold.rows, fold.cols])
    assert np.array_equal(product, a @ b)
    return counts


def _note(counts: Counts, kind: str, writes: int = 0, reads: int = 0, moves: int = 0) -> None:
    counts[f"{kind} accesses"] += writes + reads
    counts[f"{kind} moves"] += moves


def _watch_sums_stay(
    fold: Fold, rows: int, cols: int, shadow: bool, counts: Counts, product: Matrix
) -> None:
    array = OutputStationary(rows, cols)
    array.feed(0, fold, 0)
    height, width = fold.left.shape[0], fold.top.shape[1]
    left = height * width
    for cycle in range(500):
        before = {id(word): place for place, word in array.leaving.items()}
        for _, (row, col), value in array.step(cycle):
            _note(counts, "sum", reads=1)  # by the buffer
            product[row, col] += value
            left -= 1
        for row, col in array.rightward:
            if row < height and col < width:
                _note(counts, "operand", writes=1, reads=1, moves=col > 0)
        for row, col in array.downward:
            if row < height and col < width:
                _note(counts, "operand", writes=1, reads=1, moves=row > 0)
        for place in array.rightward.keys() & array.downward.keys():
            if place[0] < height and place[1] < width:
                _note(counts, "sum", writes=1, reads=not array.rightward[place].opens)
        for place, word in array.leaving.items():
            if id(word) not in before:  # from the PE's sum, in the same register or a second one
                _note(counts, "sum", writes=shadow, reads=shadow)
            elif before[id(word)] != place:
                _note(counts, "sum", writes=1, reads=1, moves=1)
        if not left:
            return
    raise AssertionError("not all sums have left")


def _watch_operand_stays(
    fold: Fold, rows: int, cols: int, shadow: bool, counts: Counts, product: Matrix
) -> None:
    array = WeightStationary(rows, cols)
    array.feed(0, fold, 0)
    height, width = fold.top.shape
    left = len(fold.left) * width
    for cycle in range(500):
        loading = {id(word): place for place, word in array.shadow.items()}
        sums = set(array.sums.held[0])
        for _, (row, col), value in array.step(cycle):
            if col < width:
                _note(counts, "sum", writes=1, reads=1, moves=(rows - 2, col) in sums)
                product[row, col] += value
                left -= 1
        for row, col in array.rightward:
            if row < height and col < width:
                _note(counts, "operand", writes=1, reads=1, moves=col > 0)
                _note(counts, "operand", reads=1)  # what stays there
                if array.rightward[row, col].opens:
                    _note(counts, "operand", writes=shadow, reads=shadow)
        for place, stationary in array.shadow.items():
            if id(stationary) not in loading:
                _note(counts, "operand", writes=1)
            elif loading[id(stationary)] != place:
                _note(counts, "operand", writes=1, reads=1, moves=1)
        for row, col in array.sums.held[0]:
            if col < width:
                _note(counts, "sum", writes=1, reads=1, moves=(row - 1, col) in sums)
        if not left:
            return
    raise AssertionError("not all sums have left")
