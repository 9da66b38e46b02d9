"""Tilings that take least if loads wait in queues, where DRAM's latency is long.

A task's loads wait until the task before has room for all that it makes and takes, so full buffers
keep a latency from being hidden. The closed form knows that of tiles of one operand only, for what
waits in a queue is a guess where tiles differ. So what is best by that guess is only played.
"""

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from accelsim.lowering.gemm_search import gemm_tiling, leaders, refined
from accelsim.lowering.ranking import RIVAL, SURE, Ranked, Ranking, Times

if TYPE_CHECKING:
    from accelsim.lowering.search import Ranks

TILES = (3, 4)
"""So many tiles fit buffers, too, of those that are looked at: two of them hide less."""

PLAYED = 4
"""Tilings beside the best one, each with another course of its loops."""


def queued(ranks: "Ranks", best: Ranked, space: int) -> Iterator[Ranked]:
    """Tilings of least cost by that guess, the first one first; none where the best one does not
    wait by it."""
    search, kernel, residence = ranks.search, ranks.kernel, ranks.residence
    target, least = search.target, search.least_of_tilings(kernel, residence, space)
    rate, latency = float(target.dram_bytes_per_cycle), target.dram_latency
    if not latency or target.timing is not None or target.objective != "time":
        return
    guess = ranks.ranked_as(gemm_tiling(best), space, Ranking.waiting)
    if guess is None or guess.cost <= (1 + SURE) * best.cost:
        return
    smaller = (search.smaller(kernel, residence, space, tiles) for tiles in TILES)
    looked_at = [search.ranking(kernel, residence), search.framed(kernel, residence, space)]
    times = Times.of_all(
        [each.waiting(rate, latency, space) for each in chain(looked_at, smaller) if each.parts]
    )
    start = leaders(times, target, least)
    if not start:
        return
    near = partial(search.near, kernel, residence)
    times = refined(near, target, space, start, least, Ranking.waiting)
    if times.best is not None:
        yield times.best
        yield from times.close(RIVAL, PLAYED)
