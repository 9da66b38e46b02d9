"""The row-stationary array of Eyeriss (Chen et al., ISCA 2016 and JSSC 52(1) 2017).

A PE convolves one filter row with one ifmap row. R x e PEs make a PE set: filter rows run along
its rows, ifmap rows along its diagonals, and psums move up its columns, so that a set computes e
ofmap rows. A processing pass is what the array does between two loads of its filters. The
letters are the papers': N images, M filters, C channels, E x F ofmap, R x S filter, U stride.
"""

from dataclasses import dataclass, fields
from fractions import Fraction
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from accelsim.hardware import Hardware, MappingObjective, Operand
from accelsim.lowering.dataflow import Lanes, limited_buffers
from accelsim.lowering.kernels import GemmKernel
from accelsim.network.ops import Window

Count = int | NDArray[np.int64]  # one mapping, or one entry for each mapping under comparison


@dataclass(frozen=True, slots=True)
class RowStationary:
    """The array as the law of a pass sees it: spads in words, networks in words per cycle."""

    rows: int
    cols: int
    ifmap_spad: int
    filter_spad: int
    psum_spad: int
    ifmap_rate: Fraction
    filter_rate: Fraction
    psum_in_rate: Fraction
    psum_out_rate: Fraction
    stages: int
    objective: MappingObjective
    buffers: tuple[Lanes, ...] = ()
    reserves_blocks: ClassVar[bool] = True
    fuses: ClassVar[bool] = False
    skips_rows: ClassVar[bool] = False
    keeps_weights: ClassVar[bool] = False

    @property
    def row_words(self) -> int:
        """Words of a filter's rows, of all channels together, that the spads of a PE hold."""
        return min(self.ifmap_spad, self.filter_spad)


def row_stationary_model(hardware: Hardware) -> RowStationary:
    """The law's view of `hardware`, whose dataflow is rs."""
    array, spec = hardware.array, hardware.array.row_stationary
    assert spec is not None, "the hardware's schema asks for it"
    word = {item: hardware.precision.bytes_of(item) for item in ("ifmap", "filter", "psum")}

    def rate(network: str, operand: str) -> Fraction:
        bandwidth = getattr(spec, network).bytes_per_cycle(hardware.clock)
        return Fraction(bandwidth) / word[operand]

    return RowStationary(
        rows=array.rows,
        cols=array.cols,
        ifmap_spad=spec.ifmap_spad,
        filter_spad=spec.filter_spad,
        psum_spad=spec.psum_spad,
        ifmap_rate=rate("ifmap_network", "ifmap"),
        filter_rate=rate("filter_network", "filter"),
        psum_in_rate=rate("psum_in_network", "psum"),
        psum_out_rate=rate("psum_out_network", "psum"),
        stages=spec.pipeline_stages,
        objective=spec.objective if array.objective == "time" else "time",
        buffers=tuple(limited_buffers(hardware)),
    )


@dataclass(frozen=True, slots=True)
class RowShape:
    """The taps of a task as rows: what one PE set of them looks like.

    Taps of more rows than the array, or of longer rows than a spad, are cut into `pieces`,
    each a pass of its own whose psums add up like those of further channels; R and S (`set_rows`,
    `taps`) are then a piece's. `span` counts the ifmap rows behind one ofmap row of a piece,
    `reach` those of all the taps; `col_span` and `col_reach` the same of columns.
    """

    set_rows: Count
    taps: Count
    span: Count
    reach: Count
    col_span: Count
    col_reach: Count
    pieces: Count
    stride: int
    col_stride: int
    task_taps: Count

    def width(self, cols: Count) -> Count:
        """Columns of the ifmap, padding included, that a piece reads for `cols` ofmap columns."""
        return (cols - 1) * self.col_stride + self.col_span


def row_shape(
    model: RowStationary, windows: tuple[Window, Window], tap_rows: Count, tap_cols: Count
) -> RowShape:
    """How so many taps of `windows` look to the PEs of `model`."""
    rows, cols = windows
    row_pieces = -(-tap_rows // model.rows)
    col_pieces = -(-tap_cols // model.row_words)
    set_rows, taps = -(-tap_rows // row_pieces), -(-tap_cols // col_pieces)
    return RowShape(
        set_rows=set_rows,
        taps=taps,
        span=(set_rows - 1) * rows.dilation + 1,
        reach=(tap_rows - 1) * rows.dilation + 1,
        col_span=(taps - 1) * cols.dilation + 1,
        col_reach=(tap_cols - 1) * cols.dilation + 1,
        pieces=row_pieces * col_pieces,
        stride=rows.stride,
        col_stride=cols.stride,
        task_taps=tap_rows * tap_cols,
    )


@dataclass(frozen=True, slots=True)
class Mapping:
    """The seven parameters of a row-stationary mapping (JSSC 2017, table III), and what is cut.

    m: filters whose psums are in the buffer. n: images of a pass. e: ofmap rows of a PE set.
    p: filters, and q: channels, that a PE interleaves. r: PE sets that take different channels,
    t: PE sets that take different filters. f: ofmap columns of a pass, and `tap_rows` x `tap_cols`:
    taps of a task, all that the layer has wherever these fit. Each an int, or one entry per
    mapping compared.
    """

    m: Count
    n: Count
    e: Count
    p: Count
    q: Count
    r: Count
    t: Count
    f: Count
    tap_rows: Count
    tap_cols: Count

    @property
    def channels(self) -> Count:
        """Channels of a pass."""
        return self.q * self.r

    @property
    def filters(self) -> Count:
        """Filters of a pass."""
        return self.p * self.t

    def select(self, index: "NDArray[np.intp] | NDArray[np.bool_]") -> "Mapping":
        """Only the mappings at `index`."""
        return Mapping(*(getattr(self, item.name)[index] for item in fields(self)))

    def only(self, index: int) -> "Mapping":
        """The mapping at `index`, in ints."""
        return Mapping(*(int(getattr(self, item.name)[index]) for item in fields(self)))


def whole_rows(kernel: GemmKernel, *parameters: Count) -> Mapping:
    """The mapping with these seven parameters that cuts neither rows nor windows."""
    own = dict(zip("mnepqrt", parameters, strict=True))
    taps = (kernel.rows.kernel, kernel.cols.kernel)
    f, tap_rows, tap_cols = (each + 0 * own["m"] for each in (kernel.cols.outputs, *taps))
    return Mapping(**own, f=f, tap_rows=tap_rows, tap_cols=tap_cols)


def sets_along(model: RowStationary, set_rows: Count, e: Count) -> tuple[Count, Count]:
    """PE sets of `e` columns that fit the array, one above and one beside another.

    A set wider than the array is folded into pieces that lie above one another (JSSC 2017,
    figure 6). Psums pass from set to set upwards only.
    """
    bands = model.rows // set_rows
    return bands // -(-e // model.cols), np.maximum(model.cols // e, 1)


def most_chains(model: RowStationary, set_rows: Count, e: Count, r: Count) -> Count:
    """The largest t: chains of `r` sets that fit the array."""
    above, beside = sets_along(model, set_rows, e)
    return above // r * beside


@dataclass(frozen=True, slots=True)
class Pass:
    """The extent of a processing pass: images, ofmap rows and columns, channels, filters."""

    images: Count
    rows: Count
    cols: Count
    channels: Count
    filters: Count
    r: Count
    t: Count


def ifmap_rows(shape: RowShape, rows: Count) -> Count:
    """Ifmap rows, padding included, behind `rows` ofmap rows."""
    return (rows - 1) * shape.stride + shape.span


@dataclass(frozen=True, slots=True)
class PassWords:
    """Words that a pass moves over the networks; each ifmap word is multicast once."""

    ifmap: Count
    filter: Count
    psum: Count

    def of(self, operand: Operand) -> Count:
        """Words of `operand` that its buffer reads and writes; finished psums are the ofmap."""
        return {"ifmap": self.ifmap, "filter": self.filter, "psum": 2 * self.psum, "ofmap": 0}[
            operand
        ]


def pass_words(shape: RowShape, work: Pass) -> PassWords:
    """What one pass moves: the psums once in and once out."""
    return PassWords(
        work.images * work.channels * ifmap_rows(shape, work.rows) * shape.width(work.cols),
        work.filters * work.channels * shape.set_rows * shape.taps,
        work.images * work.filters * work.rows * work.cols,
    )


@dataclass(frozen=True, slots=True)
class PassTime:
    """Cycles of one pass: MACs of a PE, filling spads and the psum chain, waiting for words."""

    stream: Count
    fill: Count
    words: Count

    @property
    def total(self) -> Count:
        """All cycles."""
        return self.stream + self.fill + self.words


def pass_time(model: RowStationary, shape: RowShape, work: Pass, words: PassWords) -> PassTime:
    """How long a pass takes that moves `words`.

    First the filters go to their spads, then the first window of every ifmap row. Then each PE
    takes one MAC per cycle, while the networks bring the rest of the ifmap and the psums of
    earlier passes, and take the new psums away; the slowest of these sets the pace. The last
    psums pass the `stages` of every PE of their chain, and reach their buffer while the next
    pass loads its filters. A buffer with a bandwidth moves all words of a pass in its time.
    """
    q: Count = -(-work.channels // work.r)
    p: Count = -(-work.filters // work.t)
    macs: Count = work.images * work.cols * p * q * shape.taps
    first = work.channels * shape.taps * ifmap_rows(shape, work.rows)
    sets: Count = np.minimum(work.r, work.channels)
    chain = sets * shape.set_rows * model.stages
    fill = _cycles(words.filter, model.filter_rate) + _cycles(first, model.ifmap_rate) + chain
    slowest = np.maximum(
        _cycles(np.maximum(words.ifmap - first, 0), model.ifmap_rate),
        _cycles(words.psum, min(model.psum_in_rate, model.psum_out_rate)),
    )
    waiting: Count = np.maximum(slowest - macs, 0)
    for lanes in model.buffers:
        moved = sum(word * words.of(operand) for operand, word in lanes.word_bytes)
        waiting = np.maximum(waiting, _cycles(moved, lanes.bytes_per_cycle) - macs - fill)
    return PassTime(macs, fill, waiting)


def _cycles(words: Count, rate: Fraction) -> Count:
    """Cycles that `words` take at `rate` words per cycle."""
    cycles: Count = -(-words * rate.denominator // rate.numerator)
    return cycles


def active_pes(shape: RowShape, mapping: Mapping) -> Count:
    """PEs at work in a full pass: R*e*r*t."""
    return shape.set_rows * mapping.e * mapping.r * mapping.t


def inside_moves(shape: RowShape, work: Pass) -> dict[str, Count]:
    """Spad accesses and network words of a pass for every piece of the taps, as `Inside` counts.

    A MAC reads ifmap, filter and psum from their spads and writes the psum. A filter word is
    written to the e PEs of its row, an ifmap word to a PE for each filter row that it meets, in
    every chain of sets. A psum is read once more where it goes up to the next PE, and travels
    from the buffer, from PE to PE, and back.
    """
    words = pass_words(shape, work)
    chains: Count = _sets_at_work(work.filters, work.t)
    height: Count = _sets_at_work(work.channels, work.r) * shape.set_rows
    rows = work.images * work.channels * shape.set_rows * work.rows
    filters = shape.pieces * words.filter * work.rows
    ifmaps = shape.pieces * rows * shape.width(work.cols) * chains
    macs = words.psum * work.channels * shape.task_taps
    sums = 2 * macs + shape.pieces * height * words.psum
    hops = shape.pieces * (height + 1) * words.psum
    return {
        "register_accesses": 2 * macs + filters + ifmaps + sums,
        "network_words": filters + ifmaps + hops,
        "psum_register_accesses": sums,
        "psum_network_words": hops,
    }


def _sets_at_work(items: Count, sets: Count) -> Count:
    """How many of `sets` get any of so many channels or filters, each as many as the others."""
    share: Count = np.maximum(-(-items // sets), 1)
    return -(-items // share)
