"""The search for the best tiling of any kernel, which remembers what it has found."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from accelsim.errors import DoesNotFitError
from accelsim.lowering.gemm_search import candidates, flow_of, gemm_ranking, misfit, moves_of
from accelsim.lowering.kernels import GemmKernel, Kernel, VectorKernel
from accelsim.lowering.ranking import Ranking, Ranks
from accelsim.lowering.target import Residence, Target
from accelsim.lowering.tiling import GemmTiling, VectorTiling, too_small
from accelsim.lowering.vector_search import VectorRanks, smallest_needs


def best_tiling(kernel: GemmKernel, target: Target) -> GemmTiling:
    """The legal tiling of least cost.

    Ties go to less DRAM traffic, then to fewer array cycles (which take energy behind a slow DRAM,
    too), then to fewer tiles. Raises DoesNotFitError if not even the smallest tile fits.
    """
    best = search(_bare(target))(kernel, target.residence).best
    if best is None:
        raise DoesNotFitError(misfit(kernel, target, candidates(kernel, target)))
    assert isinstance(best.tiling, GemmTiling)
    return best.tiling


Search = Callable[[Kernel, Residence], Ranks | VectorRanks]
"""What the tilings of a kernel take on one target, with so much of it resident."""


KERNELS = 128
"""Kernels of a target of which tilings are remembered, each with up to RESIDENCES."""


RESIDENCES = 4
"""Residences that a kernel meets in a plan, on average, or fewer."""


@lru_cache(maxsize=1)
def search(target: Target) -> Search:
    """The search on `target`, with nothing resident, which remembers what it has found."""
    rankings = _rankings(target.at_any_rate)
    rate = float(target.dram_bytes_per_cycle)

    @lru_cache(maxsize=KERNELS * RESIDENCES)
    def ranks(kernel: Kernel, residence: Residence) -> Ranks | VectorRanks:
        if isinstance(kernel, VectorKernel):
            return VectorRanks(kernel, replace(target, residence=residence))
        return Ranks(rankings(kernel, residence), rate, target.dram_latency)

    return ranks


@lru_cache(maxsize=1)
def _rankings(target: Target) -> Callable[[Kernel, Residence], Ranking]:
    """What all rates of DRAM share: a sweep changes the rate more often than anything else."""
    moves = moves_of(target.of_any_size)
    flow = lru_cache(maxsize=KERNELS)(lambda kernel: flow_of(target, *moves(kernel)))

    @lru_cache(maxsize=KERNELS * RESIDENCES)
    def ranking(kernel: Kernel, residence: Residence) -> Ranking:
        resident = replace(target, residence=residence)
        assert isinstance(kernel, GemmKernel)
        return gemm_ranking(resident, *flow(kernel))

    return ranking


def _bare(target: Target) -> Target:
    """`target` with nothing resident."""
    nothing = Residence()
    return target if target.residence == nothing else replace(target, residence=nothing)


def best_vector_tiling(kernel: VectorKernel, target: Target) -> VectorTiling:
    """The legal tiling of a vector kernel of least cost; ties go to less DRAM traffic.

    Raises DoesNotFitError if not even the smallest tile fits.
    """
    best = search(_bare(target))(kernel, target.residence).best
    if best is None:
        raise DoesNotFitError(too_small(target, smallest_needs(kernel, target)))
    assert isinstance(best.tiling, VectorTiling)
    return best.tiling
