"""The energy of tilings of a vector kernel, as their tasks add up."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.energy import Activity
from accelsim.lowering.target import Sizes
from accelsim.lowering.traffic import Dram, Sram

if TYPE_CHECKING:
    from accelsim.lowering.vector_cost import VectorCosts


def vector_energy(costs: "VectorCosts") -> NDArray[np.float64]:
    """pJ of tilings, 0 where nobody asks; of a timed DRAM as a byte of any costs."""
    kernel, target = costs.kernel, costs.target
    if target.rates is None:
        return np.zeros(1)
    per_element = np.where(costs.in_passes, sum(kernel.passes), kernel.operations)
    filters = costs.filter_bytes // target.bytes_of("filter")
    operations: Any = kernel.outputs * per_element - kernel.macs
    words: list[Any] = [costs.words_of_all(kernel.inputs), filters, *_psums(costs), kernel.outputs]
    moved: dict[str, Any] = {
        "ifmap_read_bytes": costs.fetched_words * target.bytes_of("ifmap"),
        "filter_read_bytes": costs.filter_bytes,
        "ofmap_write_bytes": kernel.outputs * target.bytes_of("ofmap") * costs.stored,
    }
    sram, dram = Sram(*words), Dram(**moved)
    done = Activity(macs=kernel.macs, lane_operations=operations, sram=sram, dram=dram)
    return np.asarray(target.rates.energy(done).total)


def _psums(costs: "VectorCosts") -> tuple[Sizes, Sizes]:
    """Words of psums that come back, and that wait for more."""
    kernel = costs.kernel
    pixels = kernel.batch * kernel.rows.outputs * kernel.cols.outputs
    turns = sum(min(turn + 1, kernel.kept) for turn in range(len(kernel.passes)))
    back, waiting = turns * costs.parts - kernel.kept, kernel.kept * costs.parts
    by_taps = kernel.outputs * (costs.cuts - 1 + (kernel.kept_each - 1) * costs.by_taps)
    reads = np.where(costs.in_passes, pixels * back, by_taps)
    return reads, np.where(costs.in_passes, pixels * waiting, by_taps)
