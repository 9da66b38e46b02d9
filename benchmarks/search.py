"""How far the search is from the best, on drawn layers and machines, and the worst of them.

python benchmarks/search.py                          # every promise, some hours
python benchmarks/search.py best -n 200 --jobs 2     # one of them, on fewer cases
python benchmarks/search.py whole --seed 1 --case 30 # one case
"""

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy starts its threads

import argparse
import sys
from collections.abc import Iterable
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "lowering")]

from search_contract import PROMISES, Outcome, measured, reproduced  # noqa: E402

SHOWN = 5
"""Cases that are shown, the worst first."""


def show(promise: str, seed: int, outcomes: dict[int, Outcome]) -> None:
    """The distribution of the ratios, the time of a search, and the worst cases."""
    ratios = np.array([outcome.ratio for outcome in outcomes.values()])
    bound = PROMISES[promise].bound
    marks = ", ".join(
        f"{share:g} % {np.quantile(ratios, share / 100, method='higher'):.3f}"
        for share in (50, 75, 90, 95, 99)
    )
    print(f"{promise}: {PROMISES[promise].what}")
    print(f"  {len(ratios):,} cases: {marks}, worst {ratios.max():.3f}")
    print(f"  above {bound}: {int((ratios > bound).sum()):,}")
    seconds = np.array([outcome.search_seconds for outcome in outcomes.values()])
    if seconds.any():
        print(f"  a search takes {seconds.mean():.4f} s, at most {seconds.max():.3f} s (CPU)")
    worst = sorted(outcomes, key=lambda number: -outcomes[number].ratio)
    for number in worst[:SHOWN]:
        if outcomes[number].ratio > bound:
            print(f"  {outcomes[number].ratio:.3f}  {reproduced(promise, seed, number)}")
            print(f"         {outcomes[number].case}")


def all_measured(promise: str, seed: int, numbers: Iterable[int], jobs: int) -> dict[int, Outcome]:
    """The outcome of every case, worked out by `jobs` processes."""
    listed = list(numbers)
    work = partial(measured, promise, seed)
    if jobs == 1:
        return dict(zip(listed, map(work, listed), strict=True))
    with get_context("spawn").Pool(jobs) as pool:
        return dict(zip(listed, pool.imap(work, listed, chunksize=4), strict=True))


def main() -> None:
    """Measure the promises that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("promise", nargs="?", choices=[*PROMISES, "all"], default="all")
    parser.add_argument("-n", type=int, help="cases; as many as are promised if left out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int, help="only this one")
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args()
    for promise in PROMISES if given.promise == "all" else [given.promise]:
        count = given.n or PROMISES[promise].cases
        numbers = range(count) if given.case is None else [given.case]
        outcomes = all_measured(promise, given.seed, numbers, given.jobs)
        show(promise, given.seed, outcomes)
        if given.case is not None:
            print(f"  {outcomes[given.case].ratio:.4f}  {outcomes[given.case].case}")


if __name__ == "__main__":
    main()
