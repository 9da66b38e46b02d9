"""The mappings of a kernel on a row-stationary array, as the search of tilings asks for them."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.ranking import Ranked
from accelsim.lowering.row_stationary import Mapping
from accelsim.lowering.row_stationary_cost import block_bytes, block_words, mapping_cost
from accelsim.lowering.row_stationary_search import best_mapping
from accelsim.lowering.target import Residence, Target

if TYPE_CHECKING:
    from accelsim.lowering.search import Search


@dataclass(frozen=True)
class RowRanks:
    """The mappings of a kernel: no part of it is resident, and a block may fill its buffer."""

    search: "Search"
    kernel: GemmKernel
    residence: Residence

    @property
    def best(self) -> Ranked | None:
        """The best mapping; None if none fits."""
        key = (self.kernel, self.search.target)
        return self.search.memory.recall("mappings", key, lambda: ranked(*key))

    @property
    def refined(self) -> Ranked | None:
        """The same: the search is for the best of all at once."""
        return self.best

    def best_within(self, space: int) -> Ranked | None:
        """The best mapping, whatever room others leave."""
        return self.best

    def refined_within(self, space: int) -> Ranked | None:
        """The best mapping, whatever room others leave."""
        return self.best


def ranked(kernel: GemmKernel, target: Target) -> Ranked | None:
    """The best mapping of a kernel with what it takes; None if none fits."""
    mapping = best_mapping(kernel, target)
    return None if mapping is None else ranked_as(kernel, target, mapping)


def ranked_as(kernel: GemmKernel, target: Target, mapping: Mapping) -> Ranked:
    """A mapping with what it takes."""
    one = Mapping(*(np.array([getattr(mapping, item.name)]) for item in fields(Mapping)))
    cost = mapping_cost(kernel, target, one)
    taken = block_bytes(target, block_words(kernel, target, mapping))
    return Ranked(
        tiling=mapping,
        dram_bytes=round(float(cost.dram_cycles[0] * target.dram_bytes_per_cycle)),
        tile_bytes=int(taken[target.buffer_index("ifmap")]),
        cycles=float(cost.cycles[0]),
        energy_pj=float(cost.energy_pj[0]),
        objective=target.objective,
    )
