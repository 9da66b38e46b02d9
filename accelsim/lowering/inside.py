"""What moves inside a systolic array while it works through a fold.

Every register that holds a word for one cycle costs a write and a read: the word is used there
(multiplied, added) and moves on from the same output. Counted are words that are still needed:
operands as far as the last PE that multiplies them, sums until they have left through all rows.
Idle PEs are gated; the stages inside a MAC belong to its own energy. The tests watch the
registers of a clocked array.
"""

import numpy as np

from accelsim.lowering.dataflow import ArrayModel, Cycles, FoldClass, Truth
from accelsim.lowering.traffic import Inside

Moves = dict[str, Cycles]
"""The fields of `Inside`, of one fold or one entry for each of many."""


def fold_inside(model: ArrayModel, fold: FoldClass) -> Inside:
    """Register accesses and moves from PE to PE of one fold."""
    return Inside(**{name: int(count) for name, count in fold_moves(model, fold).items()})


def fold_moves(model: ArrayModel, fold: FoldClass) -> Moves:
    """What `fold_inside` counts, of one fold or of many."""
    rows, cols, steps = model.sides(fold)
    if model.psums_move:
        return _operand_stays(model, rows, cols, steps)
    return _sum_stays(model, rows, cols, steps, fold.starts)


def _operand_stays(model: ArrayModel, rows: Cycles, cols: Cycles, steps: Cycles) -> Moves:
    """WS, IS: one operand has moved down to its row, one streams, sums move down and out.

    The word of row i is written i + 1 times on its way, and moved on i times. Sums pass all
    psum registers of all rows, those without work too.
    """
    macs = rows * cols * steps
    loaded = cols * rows * (rows + 1) // 2
    moved_on = loaded - cols * rows
    latched = 2 * rows * cols if model.pipelined else 0  # from the shadow register
    sums = model.psum_registers * model.rows * cols * steps
    sum_moves = (model.rows - 1) * cols * steps
    return Moves(
        register_accesses=loaded + moved_on + latched + 3 * macs + 2 * sums,
        network_words=moved_on + rows * (cols - 1) * steps + sum_moves,
        psum_register_accesses=2 * sums,
        psum_network_words=sum_moves,
    )


def _sum_stays(
    model: ArrayModel, rows: Cycles, cols: Cycles, steps: Cycles, starts: Truth
) -> Moves:
    """OS: both operands stream, each PE adds to its sum, which leaves through its lane.

    A lane is a column, or a row with `drain: cols`. The first addition reads nothing, unless
    the sum goes on from an earlier tile; then it has come in through the PEs of its lane before
    it, as finished ones moved out through those behind.
    """
    macs = rows * cols * steps
    along, lanes = (rows, cols) if model.drain == "rows" else (cols, rows)
    behind = along * model.drain_cycles - along * (along - 1) // 2
    left = lanes * behind  # reads: each sum's own PE and all behind it
    moved_out = left - rows * cols
    latched = 2 * rows * cols if model.pipelined else 0  # to the shadow register
    fresh = np.equal(starts, True).astype(np.int64)
    moved_in = (1 - fresh) * (lanes * along * (along - 1) // 2)
    entered = moved_in + (1 - fresh) * rows * cols
    added = 2 * macs - fresh * rows * cols
    sums = added + left + moved_out + latched + moved_in + entered
    sum_moves = moved_out + moved_in
    return Moves(
        register_accesses=4 * macs + sums,
        network_words=rows * (cols - 1) * steps + (rows - 1) * cols * steps + sum_moves,
        psum_register_accesses=sums,
        psum_network_words=sum_moves,
    )
