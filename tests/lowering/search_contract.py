"""What the search promises, each promise a number that is at most so much, case by case.

`python benchmarks/search.py PROMISE --seed SEED --case NUMBER` shows a case by itself.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from cut_by_hand import cut_case, lowered, played
from oracles.best_tiling import challenge, cheapest, cycles_of
from search_cases import Case, large_case, mid_case

from accelsim.errors import DoesNotFitError
from accelsim.lowering.gemm_tasks import gemm_schedules
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.program import Program
from accelsim.lowering.search import best_tiling
from accelsim.lowering.target import Target, target_of
from accelsim.lowering.tiling import CutTiling, GemmTiling


@dataclass(frozen=True, slots=True)
class Gap:
    """What was chosen over what is best, in cycles; both None if nothing fits.

    1 is best. Infinite where only one of them is legal.
    """

    chosen: GemmTiling | CutTiling | None
    best: GemmTiling | None
    ratio: float

    def __str__(self) -> str:
        return f"chosen {self.chosen}, best {self.best}"


def chosen_tiling(kernel: GemmKernel, target: Target) -> GemmTiling | None:
    """What the search chooses; None if it says that nothing fits."""
    try:
        return best_tiling(kernel, target)
    except DoesNotFitError:
        return None


def cost_gap(case: Case, exhaustive: bool) -> Gap:
    """The chosen tiling's cost over the least of all, or over the least that climbing finds."""
    kernel, target = case.layer.kernel, target_of(case.hardware)
    chosen = chosen_tiling(kernel, target)
    if exhaustive:
        best = next(iter(cheapest(kernel, target)), None)
    else:
        best = challenge(kernel, target, chosen, np.random.default_rng(0))
    if chosen is None or best is None:
        ratio = 1.0 if best is None and chosen is None else float("inf")
        return Gap(chosen, best.tiling if best else None, ratio)
    return Gap(chosen, best.tiling, cycles_of(kernel, target, chosen) / best.cycles)


def played_gap(case: Case, among: int = 50) -> Gap:
    """The chosen tiling's played time over the least among those `among` that cost least."""
    kernel, target = case.layer.kernel, target_of(case.hardware)
    cheap = [found.tiling for found in cheapest(kernel, target, among)]
    if not cheap:
        return Gap(None, None, 1.0)
    program = lowered(case.layer, case.hardware)
    times = [played(with_tiling(program, tiling)) for tiling in cheap]
    best = int(np.argmin(times))
    chosen = program.layers[0].tiling
    assert isinstance(chosen, GemmTiling | CutTiling)
    return Gap(chosen, cheap[best], played(program) / times[best])


def with_tiling(program: Program, tiling: GemmTiling) -> Program:
    """The program of one layer, tiled otherwise."""
    (layer,) = program.layers
    assert isinstance(layer.kernel, GemmKernel)
    schedules = gemm_schedules(layer.kernel, program.target, tiling)
    return replace(program, layers=(replace(layer, schedules=schedules, tiling=tiling),))


# --- Promises -------------------------------------------------------------------------------------

MANY = (100_000, 1_000_000)
"""Tilings, at least and at most, of kernels that are nearly too large to look at them all."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one case kept a promise, what it was, and how long the search for it took."""

    ratio: float
    case: str
    search_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Promise:
    """`what` is at most `bound`, in `cases` drawn ones."""

    what: str
    bound: float
    cases: int
    outcome: Callable[[int, int], Outcome]


def _cost(case: Case, exhaustive: bool) -> Outcome:
    kernel, target = case.layer.kernel, target_of(case.hardware)
    start = time.process_time()
    chosen_tiling(kernel, target)
    seconds = time.process_time() - start
    gap = cost_gap(case, exhaustive)
    return Outcome(gap.ratio, f"{case}: {gap}", seconds)


def _played(seed: int, number: int) -> Outcome:
    case = mid_case(seed, number)
    gap = played_gap(case)
    return Outcome(gap.ratio, f"{case}: {gap}")


def _cut(one_more: bool) -> Callable[[int, int], Outcome]:
    def outcome(seed: int, number: int) -> Outcome:
        case = cut_case(seed, number, one_more)
        return Outcome(case.ratio(), str(case))

    return outcome


PROMISES = {
    "best": Promise(
        "cost of the chosen tiling over the least of all tilings",
        *(1.03, 2000, lambda seed, number: _cost(mid_case(seed, number), exhaustive=True)),
    ),
    "best-of-many": Promise(
        "the same, of kernels with more tilings",
        *(1.03, 200, lambda seed, number: _cost(mid_case(seed, number, *MANY), exhaustive=True)),
    ),
    "unbeaten": Promise(
        "cost of the chosen tiling over the least that climbing finds, layers of any size",
        *(1.03, 500, lambda seed, number: _cost(large_case(seed, number), exhaustive=False)),
    ),
    "whole": Promise(
        "played cycles of a layer over those of its pieces, cut by hand", 1.03, 500, _cut(False)
    ),
    "one-more": Promise(
        "played cycles of a layer over those of all but one of an axis, and of that one",
        *(1.03, 500, _cut(True)),
    ),
    "played": Promise(
        "played cycles of the chosen tiling over the least of the 50 that cost least",
        *(1.05, 200, _played),
    ),
}


def reproduced(promise: str, seed: int, number: int) -> str:
    """The command that shows a case by itself."""
    return f"python benchmarks/search.py {promise} --seed {seed} --case {number}"


def measured(promise: str, seed: int, number: int) -> Outcome:
    """How case `number` kept a promise; not at all where it raises an error."""
    try:
        return PROMISES[promise].outcome(seed, number)
    except Exception as error:  # one case that fails must not hide the others
        told = str(error).replace("\n", "; ")
        return Outcome(float("inf"), f"{type(error).__name__}: {told}")


def broken(promise: str, seed: int, numbers: range) -> list[str]:
    """Every case in which a promise is not kept, in one line each."""
    outcomes = {number: measured(promise, seed, number) for number in numbers}
    return [
        f"{outcome.ratio:.3f} ({reproduced(promise, seed, number)}): {outcome.case}"
        for number, outcome in outcomes.items()
        if not outcome.ratio <= PROMISES[promise].bound
    ]
