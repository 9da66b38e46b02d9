"""The search of a network whose layers each have a dataflow of their own, on one array."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from accelsim.lowering.kernels import Kernel
from accelsim.lowering.row_stationary_ranks import RowRanks
from accelsim.lowering.search import Ranks, Search
from accelsim.lowering.target import AnyArray, Residence
from accelsim.lowering.vector_search import VectorRanks

Processors = Mapping[Kernel, AnyArray]
"""The array as each kernel sees it: under the dataflow of that kernel."""


@dataclass(frozen=True)
class MixedSearch(Search):
    """The search, where kernels have processors of their own."""

    processors: Processors = field(default_factory=dict)

    def __call__(self, kernel: Kernel, residence: Residence) -> Ranks | RowRanks | VectorRanks:
        if kernel not in self.processors:
            return super().__call__(kernel, residence)
        target = replace(self.target, processor=self.processors[kernel])
        return Search(target, self.memory, self.alone)(kernel, residence)
