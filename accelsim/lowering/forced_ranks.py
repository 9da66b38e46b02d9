"""The tilings of a kernel that obey what is forced on it, as the search gives those of others."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from accelsim.lowering.demand import keeps_groups_whole
from accelsim.lowering.gemm_candidates import (
    tilings_near,
    tilings_to_compare,
    tilings_with_parts_of_windows,
)
from accelsim.lowering.gemm_search import (
    ROUNDS,
    Way,
    excess,
    flows_of,
    gemm_ranking,
    leaders,
    refined,
    ways_of,
)
from accelsim.lowering.kernels import GemmKernel, VectorKernel
from accelsim.lowering.ranking import Part, Ranked, Ranking, Times
from accelsim.lowering.row_stationary import Mapping, most_chains, row_shape, sets_along
from accelsim.lowering.row_stationary_candidates import AXES, joined, most_filters, starts
from accelsim.lowering.row_stationary_cost import block_bytes, block_words, legal
from accelsim.lowering.row_stationary_ranks import RowRanks, ranked_as
from accelsim.lowering.row_stationary_search import MappingSearch
from accelsim.lowering.search import Ranks
from accelsim.lowering.target import Sizes, Target
from accelsim.lowering.tiling import (
    GemmTiling,
    Tilings,
    TilingSizes,
    VectorTiling,
    tilings_of,
    too_small,
)
from accelsim.lowering.vector_cost import VectorCosts
from accelsim.lowering.vector_search import VectorRanks, VectorSearch

Values = tuple[tuple[str, Any], ...]
"""What is forced, by axis."""


@dataclass(frozen=True, slots=True)
class ForcedGemm(GemmKernel):
    """A GEMM kernel on whose tilings something may be forced."""

    forced: Values = ()


@dataclass(frozen=True, slots=True)
class ForcedVector(VectorKernel):
    """A vector kernel on whose tilings something may be forced."""

    forced: Values = ()


# --- Systolic arrays ------------------------------------------------------------------------------


@dataclass(frozen=True)
class ForcedRanks(Ranks):
    """Tilings for a systolic array: those of the search, with the forced sizes in their place."""

    kernel: ForcedGemm

    def _shortlisted(self, space: int) -> Times | None:
        return None

    def _times(self, space: int) -> Times:
        target = self.search.target
        ranking = self.search.memory.recall(
            "forced", (self.kernel, self.residence, target), lambda: self._ranking(self._families())
        )
        return ranking.at(float(target.dram_bytes_per_cycle), target.dram_latency, space)

    def _times_with_parts(self, space: int) -> Times:
        return self._times(space)

    def _near(self, space: int, every: bool = True) -> Times | None:
        """As the search goes from neighbour to neighbour, but to those that obey."""
        target = self.search.target
        least = self.search.least_cost(self.kernel, self.residence)
        start = leaders(self._times(space), target, least)
        return refined(self._obeying_near, target, space, start, least) if start else None

    def _obeying_near(self, sizes: tuple[TilingSizes, ...]) -> Ranking:
        """What obeys of some tilings and those near them."""
        near = tilings_near(self.kernel, self.search.target, sizes)
        centers = tilings_of(self.kernel, [*np.array(sizes).T])
        return self._ranking([self._obeying(each) for each in (centers, *near)])

    def _families(self) -> list[Tilings]:
        """The tilings that the search compares, with the forced sizes."""
        target = self.search.target
        families = tilings_to_compare(self.kernel, target)
        families += tilings_with_parts_of_windows(self.kernel, target)
        return [self._obeying(each) for each in families]

    def _obeying(self, tilings: Tilings) -> Tilings:
        """`tilings` with the forced sizes."""
        names, forced = [item.name for item in fields(GemmTiling)], dict(self.kernel.forced)
        axes = [
            np.full((1,) * np.ndim(axis), forced[name]) if name in forced else axis
            for name, axis in zip(names, tilings.axes, strict=False)
        ]
        rows = np.broadcast_arrays(*axes)
        unique = np.unique(np.stack([row.ravel() for row in rows]), axis=1)
        return tilings_of(self.kernel, [*unique])

    def _ranking(self, families: Sequence[Tilings]) -> Ranking:
        target = self.search.target.holding(self.residence)
        flows = [flows_of(self.kernel, target, each, self._ways) for each in families]
        ranking = gemm_ranking(target, flows)
        return Ranking(tuple(self._in_ways(part) for part in ranking.parts))

    @property
    def _ways(self) -> list[Way]:
        """All ways to run the loops, of as many arrays as are forced, too."""
        wanted = dict(self.kernel.forced).get("arrays", 1)
        return ways_of(self.kernel, self.search.target, wanted)

    def _in_ways(self, part: Part) -> Part:
        """Only the tilings whose loops run as is forced."""
        obeys = [self._obeys(way) for way in self._ways]
        mask = np.array(obeys).reshape(-1, *(1 for _ in part.shape[1:]))
        return replace(part, fits=part.fits & mask)

    def _obeys(self, way: Way) -> bool:
        forced = dict(self.kernel.forced)
        return all(forced.get(key, getattr(way, key)) == getattr(way, key) for key in _WAY)

    def _or_cut(self, space: int, best: Ranked) -> Ranked:
        """What is not forced to be cut stays whole."""
        return best

    def _larger(self, best: Ranked, space: int) -> Iterator[Ranked]:
        """Those of which the sizes that are forced are as they are."""
        forced = [name for name, _ in self.kernel.forced if hasattr(best.tiling, name)]
        for each in super()._larger(best, space):
            if all(getattr(each.tiling, name) == getattr(best.tiling, name) for name in forced):
                yield each

    def _queued(self, best: Ranked, space: int) -> Iterator[Ranked]:
        """None: they do as they like."""
        return iter(())

    @property
    def misfit(self) -> str:
        """Why nothing that obeys fits."""
        families = self._families()
        if not any(keeps_groups_whole(self.kernel, each).any() for each in families):
            return (
                "a tile of several groups has only some of their filters or channels; force "
                "groups 1, or all filters, channels and taps"
            )
        target = self.search.target
        least = min(excess(self.kernel, target, each) for each in families)
        if least[0][0]:
            return f"{too_small(target, least[1])}, or force less"
        return "so many arrays cannot share out that loop; force another split"


_WAY = ("order", "split", "arrays")


# --- Vector units ---------------------------------------------------------------------------------


class ForcedVectorRanks(VectorRanks):
    """Tilings for a vector unit."""

    kernel: ForcedVector

    def _search(self) -> "ForcedVectorSearch":
        return ForcedVectorSearch(self.kernel, self.target, self.tap_reads)

    @property
    def misfit(self) -> str:
        """Why nothing that obeys fits."""
        tilings = self._search().grid()
        costs = VectorCosts(kernel=self.kernel, target=self.target, sizes=tilings)
        needs = np.stack(
            [np.broadcast_to(costs.demand(one), tilings.shape[1:]) for one in self.target.buffers]
        )
        half = np.array([[space.half] for space in self.target.buffers])
        least = int(np.maximum(needs - half, 0).sum(axis=0).argmin())
        told = too_small(self.target, [int(need) for need in needs[:, least]])
        return f"{told}, or force less" if told else "there are too few tiles for so many arrays"


@dataclass
class ForcedVectorSearch(VectorSearch):
    """The search, going only to tilings that obey."""

    kernel: ForcedVector

    def grid(self) -> Sizes:
        return self._obeying(super().grid())

    def around(self, front: Sizes) -> Sizes:
        return self._obeying(super().around(front))

    def _obeying(self, tilings: Sizes) -> Sizes:
        """`tilings` with the forced sizes."""
        made = tilings.copy()
        for place, item in enumerate(fields(VectorTiling)):
            for name, value in self.kernel.forced:
                if name == item.name:
                    made[place] = value
        return np.unique(made, axis=1)


# --- Row-stationary arrays ------------------------------------------------------------------------


@dataclass(frozen=True)
class ForcedRowRanks(RowRanks):
    """Mappings for a row-stationary array."""

    kernel: ForcedGemm

    @property
    def best(self) -> Ranked | None:
        """The best mapping that obeys; None if none is legal."""
        key = (self.kernel, self.search.target)
        return self.search.memory.recall("mappings", key, self._best)

    @property
    def refined(self) -> Ranked | None:
        """The same."""
        return self.best

    def _best(self) -> Ranked | None:
        kernel, target = self.kernel, self.search.target
        free = tuple(axis for axis in AXES if axis not in dict(kernel.forced))
        for family in starts(kernel, target, uncut=True):
            tried = self._obeying(most_filters(kernel, target, self._obeying(family)))
            tried = tried.select(_held(kernel, target, tried) & legal(kernel, target, tried))
            if np.size(tried.m):
                return ranked_as(kernel, target, self._improved(tried, free))
        return None

    def _improved(self, tried: Mapping, free: tuple[str, ...]) -> Mapping:
        """From the best of those tried to the best of their neighbours, as long as it helps."""
        kernel, target = self.kernel, self.search.target
        search = MappingSearch(kernel, target, free)
        found = search.several(tried)
        for _ in range(ROUNDS):
            best = found.only(0)
            around = self._obeying(joined(search.around(each) for each in search.each(found)))
            around = around.select(_held(kernel, target, around) & legal(kernel, target, around))
            found = search.several(joined((found, around)))
            if found.only(0) == best:
                break
        return found.only(0)

    def _obeying(self, mapping: Mapping) -> Mapping:
        size = np.shape(mapping.m)
        return replace(
            mapping, **{name: np.full(size, value) for name, value in self.kernel.forced}
        )

    @property
    def misfit(self) -> str:
        """Why nothing that obeys fits."""
        kernel, target = self.kernel, self.search.target
        *_, family = starts(kernel, target, uncut=False)
        tried = self._obeying(most_filters(kernel, target, self._obeying(family)))
        told = [text for text, holds in _bounds(kernel, target, tried) if not holds.any()]
        if told:
            return "; ".join(told)
        taken = np.array(block_bytes(target, block_words(kernel, target, tried)))
        index = int(np.argmin(taken.sum(axis=0)))
        over = [
            f"the smallest block needs {size:,} bytes of buffer {space.name}, which has "
            f"{space.size:,}; make buffers.{space.name}.size at least {size} B, or force less"
            for space, size in zip(target.buffers, taken[:, index], strict=True)
            if size > space.size // space.bank * space.bank
        ]
        return "; ".join(over) or "no mapping is legal; force less"


def _held(kernel: GemmKernel, target: Target, mapping: Mapping) -> Any:
    """Whether array and spads hold a mapping."""
    return np.logical_and.reduce([holds for _, holds in _bounds(kernel, target, mapping)])


def _bounds(kernel: GemmKernel, target: Target, mapping: Mapping) -> Iterator[tuple[str, Any]]:
    """What bounds a mapping on the array and in the spads of its PEs, and whether it holds."""
    model = target.row_stationary
    shape = row_shape(model, kernel.windows, mapping.tap_rows, mapping.tap_cols)
    taps = np.asarray(shape.taps)
    above, _ = sets_along(model, shape.set_rows, mapping.e)
    chains = most_chains(model, shape.set_rows, mapping.e, np.maximum(mapping.r, 1))
    held = {
        f"PE sets of e columns do not fit {model.rows} x {model.cols} PEs": above >= 1,
        f"r PE sets do not fit above each other in {model.rows} rows": mapping.r <= above,
        "t chains of r PE sets do not fit beside each other": mapping.t <= chains,
        f"q channels of a window's row need more than the {model.ifmap_spad} words of ifmap_spad": (
            mapping.q * taps <= model.ifmap_spad
        ),
        f"p filters need more than the {model.psum_spad} words of psum_spad": (
            mapping.p <= model.psum_spad
        ),
        f"p x q rows of filters need more than the {model.filter_spad} words of filter_spad": (
            mapping.p * mapping.q * taps <= model.filter_spad
        ),
    }
    yield from ((text, np.asarray(holds)) for text, holds in held.items())
