"""What moves inside a systolic array while it works through a fold.

Every register that holds a word for one cycle costs a write and a read: the word is used there
(multiplied, added) and moves on from the same output. Counted are words that are still needed:
operands as far as the last PE that multiplies them, sums until they have left through all rows.
Idle PEs are gated; the stages inside a MAC belong to its own energy. The tests watch the
registers of a clocked array.
"""

from accelsim.lowering.dataflow import ArrayModel, FoldClass
from accelsim.lowering.traffic import Inside


def fold_inside(model: ArrayModel, fold: FoldClass) -> Inside:
    """Register accesses and moves from PE to PE of one fold."""
    flow = model.dataflow
    rows, cols, steps = (int(fold.extent[axis]) for axis in (flow.rows, flow.cols, flow.time))
    if model.psums_move:
        return _operand_stays(model, rows, cols, steps)
    return _sum_stays(model, rows, cols, steps, bool(fold.starts))


def _operand_stays(model: ArrayModel, rows: int, cols: int, steps: int) -> Inside:
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
    return Inside(
        register_accesses=loaded + moved_on + latched + 3 * macs + 2 * sums,
        network_words=moved_on + rows * (cols - 1) * steps + sum_moves,
        psum_register_accesses=2 * sums,
        psum_network_words=sum_moves,
    )


def _sum_stays(model: ArrayModel, rows: int, cols: int, steps: int, starts: bool) -> Inside:
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
    moved_in = 0 if starts else lanes * along * (along - 1) // 2
    entered = 0 if starts else moved_in + rows * cols
    added = 2 * macs - (rows * cols if starts else 0)
    sums = added + left + moved_out + latched + moved_in + entered
    sum_moves = moved_out + moved_in
    return Inside(
        register_accesses=4 * macs + sums,
        network_words=rows * (cols - 1) * steps + (rows - 1) * cols * steps + sum_moves,
        psum_register_accesses=sums,
        psum_network_words=sum_moves,
    )
