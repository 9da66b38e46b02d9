"""What tilings of a GEMM kernel cost on a target, and what any costs at least, remembered."""

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.bound import least_work
from accelsim.lowering.cost import significant
from accelsim.lowering.cut_bound import full_tiles
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
from accelsim.lowering.recall import (
    FRONTIERS,
    NEAR,
    NEIGHBOURHOODS,
    RANKINGS,
    REFINED,
    SHORTLISTS,
    Memory,
)
from accelsim.lowering.shortlist import Floors, Shortlist, floors_of, shortlist
from accelsim.lowering.target import Residence, Target
from accelsim.lowering.tiling import CutAxis, TilingSizes
from accelsim.lowering.tiling_bound import Frontier, frontier

FRAMES = 24
"""Shapes of tiles that are looked at where a bound is least."""


Work = NDArray[np.float64] | float
"""Cycles, or bytes."""


@dataclass(frozen=True)
class Rankings:
    """Tilings of kernels on a target, with what the memory knows of them."""

    target: Target
    memory: Memory

    @property
    def of_any_size(self) -> Target:
        """What the points of a sweep share that differ in DRAM's rate and in sizes of buffers."""
        return self.target.at_any_rate.of_any_size

    def ranking(self, kernel: GemmKernel, residence: Residence) -> Ranking:
        """What tilings at every scale cost, at any rate of DRAM."""
        target = self.target.at_any_rate
        key = (kernel, residence, target)
        resident = target.holding(residence)
        return self.memory.recall(
            "rankings", key, lambda: gemm_ranking(resident, self.grid(kernel)), RANKINGS
        )

    def shortlist(self, kernel: GemmKernel, residence: Residence) -> Shortlist | None:
        """Of the tilings at every scale those that are sure to hold the best one, whatever room
        it has; None if that is not worth it, or time is not what counts."""
        target = self.target
        if target.objective != "time":
            return None
        rate, latency = float(target.dram_bytes_per_cycle), target.dram_latency

        def found() -> Shortlist | None:
            resident = target.at_any_rate.holding(residence)
            return shortlist(resident, self._floors(kernel, residence), rate, latency)

        return self.memory.recall("shortlists", (kernel, residence, target), found, SHORTLISTS)

    def _floors(self, kernel: GemmKernel, residence: Residence) -> tuple[Floors, ...]:
        """What tilings at every scale cost at least, at any rate of DRAM."""
        target = self.target.at_any_rate
        resident = target.holding(residence)
        return self.memory.recall(
            "floors",
            (kernel, residence, target),
            lambda: floors_of(resident, self.grid(kernel)),
            RANKINGS,
        )

    def grid(self, kernel: GemmKernel) -> list[Flows]:
        """What tilings with whole windows move."""
        target = self.of_any_size

        def flows() -> list[Flows]:
            families = tilings_to_compare(kernel, target, self.memory.tap_reads)
            return [flows_of(kernel, target, tilings) for tilings in families]

        return self.memory.recall("flows", (kernel, target), flows)

    def with_parts_of_windows(self, kernel: GemmKernel, residence: Residence) -> Ranking:
        """What tilings cost whose tiles have parts of the kernel's window."""
        target = self.target.at_any_rate.holding(residence)

        def ranking() -> Ranking:
            families = tilings_with_parts_of_windows(kernel, target, self.memory.tap_reads)
            return gemm_ranking(target, [flows_of(kernel, target, each) for each in families])

        return self.memory.recall("parts of windows", (kernel, target), ranking)

    def near(
        self, kernel: GemmKernel, residence: Residence, centers: tuple[TilingSizes, ...]
    ) -> Ranking:
        """What tilings near some sizes cost."""
        target = self.target.at_any_rate.holding(residence)

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

        return self.memory.recall("neighbours", (kernel, target, centers), found, NEIGHBOURHOODS)

    def least_cost(self, kernel: GemmKernel, residence: Residence) -> float:
        """What `kernel` takes at least, cut in parts or not. Of energy there is no such bound."""
        if self.target.objective != "time":
            return 0.0
        target = self.target.at_any_rate.holding(residence)
        find = partial(least_work, kernel, target)
        busy, moved = self.memory.recall("least work", (kernel, target), find, REFINED)
        return float(self._cycles(residence, busy, moved))

    def least_of_tilings(self, kernel: GemmKernel, residence: Residence, space: int) -> float:
        """What no tiling of `kernel` takes less than, of which a tile fits half of `space`."""
        least = self.least_cost(kernel, residence)
        if self.target.objective != "time":
            return least

        def found() -> float:
            _, cycles = self._frontier(kernel, residence, space)
            return max(least, float(cycles.min())) if cycles.size else least

        key = (kernel, residence, space, self.target)
        return self.memory.recall("least of tilings", key, found, REFINED)

    def least_traffic(
        self, kernel: GemmKernel, residence: Residence, space: int, cycles: float
    ) -> float:
        """Bytes that no tiling that takes at most so many cycles moves less than; 0 if unknown."""
        front, least = self._frontier(kernel, residence, space)
        return min(front.moved[least <= cycles].tolist(), default=0.0)

    def _frontier(
        self, kernel: GemmKernel, residence: Residence, space: int
    ) -> tuple[Frontier, NDArray[np.float64]]:
        """Kinds of tiles, and what each takes at least."""
        target = self.target.at_any_rate.holding(residence)
        find = partial(frontier, kernel, target, space, self.memory.tap_reads)
        front = self.memory.recall("frontiers", (kernel, target, space), find, FRONTIERS)
        busy = front.array_cycles(float(self.target.dram_bytes_per_cycle))
        return front, self._cycles(residence, busy, front.moved, front.alone)

    def _cycles(
        self, residence: Residence, busy: Work, moved: Work, alone: Work = 0.0
    ) -> NDArray[np.float64]:
        """max(array, DRAM), and the latencies that nothing hides; stores may go on in the first.

        Where there are none, DRAM also waits for the first latency, and while the last tile is
        `alone` with the array.
        """
        latency, rate = self.target.dram_latency, float(self.target.dram_bytes_per_cycle)
        array = busy + latency * (not residence.ifmap)
        pause = 0.0 if residence.ifmap or residence.stored else latency + alone
        return np.asarray(np.maximum(array, moved / rate + pause) + latency * residence.stored)

    def of_parts(
        self, kernel: GemmKernel, residence: Residence, space: int
    ) -> dict[CutAxis, tuple[NDArray[np.float64], NDArray[np.int64]]]:
        """By axis what `kernel` takes about if only full tiles lie along it; sizes of these."""
        target = self.target.at_any_rate.holding(residence)
        find = partial(full_tiles, kernel, target, space, self.memory.tap_reads)
        tiles = self.memory.recall("parts", (kernel, target, space), find)
        return {
            axis: (self._cycles(residence, its.busy, its.moved), its.sizes)
            for axis, its in tiles.items()
        }

    def smaller(self, kernel: GemmKernel, residence: Residence, space: int, tiles: int) -> Ranking:
        """What tilings cost so many tiles of which fit every buffer, shaped as for one that two of
        them fill."""
        less = replace(self, target=self.target.with_room_of(Fraction(2, tiles)))
        target = self.target.at_any_rate.holding(residence)
        return less.framed(kernel, residence, space * 2 // tiles, target)

    def framed(
        self, kernel: GemmKernel, residence: Residence, space: int, on: Target | None = None
    ) -> Ranking:
        """What tilings cost that are shaped as those that could be the best; none if unknown.

        On this target, with so much of the kernel resident, or `on` another one.
        """
        front, cycles = self._frontier(kernel, residence, space)
        if not cycles.size:
            return Ranking(())
        order = np.lexsort((front.moved, significant(cycles)))  # of those as fast what moves less
        shapes = front.shapes[order[:FRAMES]]
        target = self.target.at_any_rate.holding(residence)

        def ranking() -> Ranking:
            tilings = tilings_framed(kernel, target, shapes, self.memory.tap_reads)
            return gemm_ranking(on or target, [flows_of(kernel, target, each) for each in tilings])

        return self.memory.recall("framed", (kernel, target, on, shapes.tobytes()), ranking, NEAR)
