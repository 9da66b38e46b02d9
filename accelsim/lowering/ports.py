"""How long folds wait for the words of buffers that have a bandwidth.

The array's registers move all together, if at all. In a cycle in which a buffer has not moved the
words of a step yet, nothing moves; so each part of a fold, whose steps all move equally many
words, takes its steps or what the slowest buffer needs for its words, whichever is more. The
skew moves no words, so it stays as long as it is:

    OS      max(steps, reads / rate) + skew + max(drain, ofmap / rate)
    WS, IS  max(rows, stationary / rate) + streaming + skew

In OS' drain, psums to go on with come in as others leave. In WS and IS, the psums of a step come in
with its operands, and its results leave beside later steps. So the streaming reads up to the first
result, then reads and writes, then writes; where one buffer alone is slow, and does not both, that
is max(steps, words / rate). A buffer that several operands share moves all their words.

Pipelined, results wait in a queue, and the load of the next stationary operand, or the last
ofmap's drain, goes on beside the streaming, as far as that leaves the buffer free. A turn is the
most of three: the streaming with its reads; the least turn, whose steps at the streaming's pace and
whose load or drain wait for their words; and for each buffer all words of a fold. The first load
and the last drain of a tile are in its tail.

The tests play all this on the clock, with ports that move so many bytes per cycle. Serial folds
are as long as said here, each part ending with a whole cycle; where a port may be a cycle ahead
of the array, up to a cycle less for each part but the first. Pipelined folds come in these turns.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from accelsim.hardware import Hardware, Operand
from accelsim.lowering.extents import Axis, Cycles, FoldClass, operand_words
from accelsim.lowering.laws import ArrayModel, Lanes, Part


def limited_buffers(hardware: Hardware) -> Iterator[Lanes]:
    """The buffers that have a bandwidth."""
    for name, buffer in hardware.buffers.items():
        rate = hardware.buffer_bytes_per_cycle(name)
        if rate is not None:
            words = tuple((item, hardware.precision.bytes_of(item)) for item in buffer.holds)
            yield Lanes(rate, words)


def serial_wait(model: ArrayModel, fold: FoldClass) -> Cycles:
    """Cycles by which buffers make a fold longer that has the array to itself."""
    if not model.buffers:
        return 0 * fold.count
    return sum((_part_wait(model, part) for part in fold_parts(model, fold)), start=0 * fold.count)


def fold_parts(model: ArrayModel, fold: FoldClass) -> Iterator[Part]:
    """What of a fold moves words, in parts whose steps move equally many."""
    law, (_, _, steps) = model.dataflow.law, model.sides(fold)
    apart = np.minimum(steps, law.lag(model, fold))
    reads, writes = law.reads(model, fold), law.writes(model, fold)
    both = {item: reads.get(item, 0) + writes.get(item, 0) for item in reads | writes}
    yield law.shadowed(model, fold)
    yield Part(apart, reads)
    yield Part(steps - apart, both)
    yield Part(apart, writes)


def pipelined_turn(model: ArrayModel, fold: FoldClass, least: Cycles) -> Cycles:
    """Cycles from a pipelined fold's start to the next one's.

    `least`: what the shadow registers ask for with unlimited buffers.
    """
    law, (_, _, steps) = model.dataflow.law, model.sides(fold)
    if not model.buffers:
        return np.maximum(least, steps)
    paced = np.minimum(law.paced(model, least), steps - 1)
    shadowed = least + _part_wait(model, law.shadowed(model, fold))
    reads = law.reads(model, fold)
    streamed = steps + _part_wait(model, Part(steps, reads))
    turn = shadowed + _part_wait(model, Part(paced, reads))
    return np.maximum(np.maximum(streamed, turn), buffer_cycles(model, fold))


def _part_wait(model: ArrayModel, part: Part) -> Cycles:
    """Cycles that the slowest buffer needs for a part beyond the part's steps."""
    wait = 0 * part.steps
    for lanes in model.buffers:
        moved, rate = bytes_of(lanes, part.words), lanes.bytes_per_cycle
        if np.any(moved * rate.denominator > rate.numerator):  # else it keeps up
            wait = np.maximum(wait, cycles_of(lanes, part.steps * moved) - part.steps)
    return wait


def fluid_wait(model: ArrayModel, part: Part) -> Cycles:
    """What the slowest buffer needs for a part beyond its steps, not rounded to whole cycles."""
    longer: Cycles = 0
    for lanes in model.buffers:
        longer = np.maximum(longer, bytes_of(lanes, part.words) / float(lanes.bytes_per_cycle) - 1)
    return part.steps * longer


def bytes_of(lanes: Lanes, words: Mapping[Operand, Cycles]) -> Cycles:
    """Bytes that a buffer moves for so many words of every operand."""
    return sum(word * words.get(operand, 0) for operand, word in lanes.word_bytes)


def cycles_of(lanes: Lanes, size: Cycles) -> Cycles:
    """Whole cycles in which a buffer moves `size` bytes."""
    rate = lanes.bytes_per_cycle
    return -(-size * rate.denominator // rate.numerator)


def buffer_cycles(model: ArrayModel, fold: FoldClass) -> Cycles:
    """Cycles that the slowest buffer needs for all words of one fold."""
    slowest = fold.count * 0
    for lanes in model.buffers:
        slowest = np.maximum(slowest, cycles_of(lanes, _fold_bytes(lanes, fold)))
    return slowest


def _fold_bytes(lanes: Lanes, fold: FoldClass) -> Cycles:
    return sum(word * operand_words(operand, fold) for operand, word in lanes.word_bytes)


def can_limit(model: ArrayModel, lanes: Lanes, least_turn: int) -> bool:
    """Whether some fold could wait for the buffer. `least_turn` is the shortest of any fold.

    No fold moves more words in a step of a part than a full one that neither starts nor ends
    its sums, or one that only ends them. Pipelined, the bytes of a fold grow by as many with each
    step, so a buffer that keeps up with the shortest turn and with that growth always does.
    """
    rate = lanes.bytes_per_cycle
    for ends in (False, True):
        fold, longer = (_full_fold(model, steps, ends) for steps in (least_turn, least_turn + 1))
        if any(int(bytes_of(lanes, part.words)) > rate for part in fold_parts(model, fold)):
            return True
        size = int(_fold_bytes(lanes, fold))
        growth = int(_fold_bytes(lanes, longer)) - size
        if model.pipelined and (size > rate * least_turn or growth > rate):
            return True
    return False


def _full_fold(model: ArrayModel, steps: int, ends: bool) -> FoldClass:
    """A fold that fills the array and continues psums."""
    flow = model.dataflow
    sizes: dict[Axis, Cycles] = {flow.rows: model.rows, flow.cols: model.cols, flow.time: steps}
    return FoldClass(count=1, extent=sizes, starts=False, ends=ends)
