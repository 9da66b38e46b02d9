"""What tilings of a GEMM kernel cost on a target, and what any costs at least, remembered."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.bound import least_cost
from accelsim.lowering.gemm_candidates import (
    Neighbours,
    neighbours,
    tilings_filled,
    tilings_framed,
    tilings_to_compare,
    tilings_with_parts_of_windows,
)
from accelsim.lowering.gemm_search import Flows, flows_of, gemm_ranking
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.ranking import Ranking
from accelsim.lowering.recall import NEAR, Memory
from accelsim.lowering.target import Residence, Target
from accelsim.lowering.tiling import TilingSizes
from accelsim.lowering.tiling_bound import Frontier, frontier

FRAMES = 24
"""Shapes of tiles that are looked at where a bound is least."""


@dataclass(frozen=True)
class Rankings:
    """Tilings of kernels on a target, with what the memory knows of them."""

    target: Target
    memory: Memory

    @cached_property
    def at_any_rate(self) -> Target:
        """What the points of a sweep share that differ in DRAM's rate and latency."""
        return self.target.at_any_rate

    @cached_property
    def of_any_size(self) -> Target:
        """What those share that differ in the sizes of the buffers, too."""
        return self.at_any_rate.of_any_size

    def ranking(self, kernel: GemmKernel, residence: Residence) -> Ranking:
        """What tilings at every scale cost, at any rate of DRAM."""
        target = self.at_any_rate
        key = (kernel, residence, target)
        resident = replace(target, residence=residence)
        return self.memory.recall(
            "rankings", key, lambda: gemm_ranking(resident, self._flows(kernel))
        )

    def _flows(self, kernel: GemmKernel) -> list[Flows]:
        """What tilings with whole windows move."""
        target = self.of_any_size

        def flows() -> list[Flows]:
            families = tilings_to_compare(kernel, target, self.memory.tap_reads)
            return [flows_of(kernel, target, tilings) for tilings in families]

        return self.memory.recall("flows", (kernel, target), flows)

    def with_parts_of_windows(self, kernel: GemmKernel, residence: Residence) -> Ranking:
        """What tilings cost whose tiles have parts of the kernel's window."""
        target = replace(self.at_any_rate, residence=residence)

        def ranking() -> Ranking:
            families = tilings_with_parts_of_windows(kernel, target, self.memory.tap_reads)
            return gemm_ranking(target, [flows_of(kernel, target, each) for each in families])

        return self.memory.recall("parts of windows", (kernel, residence, target), ranking)

    def near(
        self, kernel: GemmKernel, residence: Residence, centers: tuple[TilingSizes, ...]
    ) -> Ranking:
        """What tilings near some sizes cost."""
        target = replace(self.at_any_rate, residence=residence)

        def ranking() -> Ranking:
            near, around = self._neighbours(kernel, centers)
            filled = tilings_filled(kernel, target, near, self.memory.tap_reads)
            return gemm_ranking(
                target, [around, *(flows_of(kernel, target, each) for each in filled)]
            )

        return self.memory.recall("near", (kernel, target, centers), ranking, NEAR)

    def _neighbours(
        self, kernel: GemmKernel, centers: tuple[TilingSizes, ...]
    ) -> tuple[Neighbours, Flows]:
        """Those near some sizes, and what moves with those that no buffer's size changes."""
        target = self.of_any_size

        def found() -> tuple[Neighbours, Flows]:
            near = neighbours(kernel, target, centers, self.memory.tap_reads)
            return near, flows_of(kernel, target, near.around)

        return self.memory.recall("neighbours", (kernel, target, centers), found)

    def least_cost(self, kernel: GemmKernel, residence: Residence) -> float:
        """What `kernel` takes at least, cut in parts or not."""
        return least_cost(kernel, replace(self.target, residence=residence))

    def least_of_tilings(self, kernel: GemmKernel, residence: Residence, space: int) -> float:
        """What no tiling of `kernel` takes less than, of which a tile fits half of `space`."""
        if self.target.objective != "time":
            return 0.0
        _, cycles = self._frontier(kernel, residence, space)
        least = self.least_cost(kernel, residence)
        return max(least, float(cycles.min())) if cycles.size else least

    def _frontier(
        self, kernel: GemmKernel, residence: Residence, space: int
    ) -> tuple[Frontier, NDArray[np.float64]]:
        """Kinds of tiles, and what each takes at least."""
        target = replace(self.at_any_rate, residence=residence)
        front = self.memory.recall(
            "frontiers",
            (kernel, target, space),
            lambda: frontier(kernel, target, space, self.memory.tap_reads),
        )
        latency, rate = self.target.dram_latency, float(self.target.dram_bytes_per_cycle)
        cycles = front.cycles(rate, latency * (not residence.ifmap))
        return front, cycles + latency * residence.stored

    def framed(self, kernel: GemmKernel, residence: Residence, space: int) -> Ranking:
        """What tilings cost that are shaped as those that could be the best."""
        front, cycles = self._frontier(kernel, residence, space)
        shapes = front.shapes[np.argsort(cycles, kind="stable")[:FRAMES]]
        target = replace(self.at_any_rate, residence=residence)
        tilings = tilings_framed(kernel, target, shapes, self.memory.tap_reads)
        return gemm_ranking(target, [flows_of(kernel, target, each) for each in tilings])
