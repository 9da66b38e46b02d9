"""The mappings of a kernel on a row-stationary array, as the search of tilings asks for them."""

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.ranking import RIVAL, SURE, Ranked, Tiling
from accelsim.lowering.recall import REFINED
from accelsim.lowering.row_stationary import Mapping
from accelsim.lowering.row_stationary_cost import block_bytes, block_words, mapping_cost
from accelsim.lowering.row_stationary_search import best_mappings
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
        found = self._found(self.search.target)
        return ranked_as(self.kernel, self.search.target, found[0]) if found else None

    def _found(self, target: Target) -> list[Mapping]:
        """The best mappings on a target, the best first."""
        key = (self.kernel, target)
        return self.search.memory.recall("best mappings", key, lambda: best_mappings(*key), REFINED)

    @property
    def refined(self) -> Ranked | None:
        """The best mapping as played, of the few that cost least, if that is asked for."""
        best, target = self.best, self.search.target
        by_time = target.objective == target.row_stationary.objective == "time"
        if best is None or self.search.alone is None or not by_time:
            return best
        key = (self.kernel, target)
        return self.search.memory.recall(
            "played mappings", key, lambda: self._played(best), REFINED
        )

    def _played(self, best: Ranked) -> Ranked:
        """The fastest of some, if the best one does not take what its cost says.

        Only such as cost less than the fastest takes, or little more than the best. What a timed
        DRAM takes is estimated, so there the best for a plain one is played, too.
        """
        target = self.search.target
        least = self._alone(best.tiling)
        if target.timing is None and abs(least - best.cost) <= SURE * best.cost:
            return best
        rivals = self._found(target)[1:]
        if target.timing is not None:
            rivals += self._found(replace(target, timing=None))[:1]
        fastest = best
        for rival in (ranked_as(self.kernel, target, each) for each in rivals):
            near = rival.cost < max(least, RIVAL * best.cost)
            if near and (cycles := self._alone(rival.tiling)) < least:
                least, fastest = cycles, rival
        return fastest

    def _alone(self, mapping: Tiling) -> float:
        """Cycles of the kernel by itself, as played."""
        target, alone = self.search.target, self.search.alone
        assert alone is not None
        space = target.buffers[target.buffer_index("ifmap")].size
        return alone(self.kernel, target.holding(self.residence), space, mapping)

    def best_within(self, space: int) -> Ranked | None:
        """The best mapping, whatever room others leave."""
        return self.best

    def refined_within(self, space: int) -> Ranked | None:
        """The same, whatever room others leave."""
        return self.refined


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
