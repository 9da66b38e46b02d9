"""What searches remember, for whoever owns that: a run, a worker of a sweep, a session."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from accelsim.dram.transfer import Replays
from accelsim.jit import Patience
from accelsim.lowering.footprint import Tables

Found = TypeVar("Found")

UNKNOWN: Any = object()
"""In place of what nobody has found yet."""

REFINED = 2048
"""Best tilings of kernels on arrays to remember: they take little room and long to find."""

SCHEDULES = 2048
"""Schedules to remember: neighbours in a sweep have many of the same."""

RANKINGS = 320
"""Rankings at every scale to remember: those of a large network, with what may stay of its maps.
They take some MB each, and every rate of DRAM asks for them again."""

FRONTIERS = 640
"""Bounds of tilings to remember, of some 130 kB each; every rate asks for them again, too."""

NEIGHBOURHOODS = 192
"""Neighbours of tilings, whatever the sizes of buffers: neighbours in a sweep have the same."""

SHORTLISTS = 512
"""Shortlists to remember, of some 50 kB each."""

NEAR = 48
"""Neighbourhoods, and searches of vector kernels, to remember: they take much room."""

VECTOR_KERNELS = 4096
"""Best tilings of these to remember: they take little room, and serve beside every array."""


@dataclass
class Memory:
    """What searches have found, for whoever owns this to drop; the last `most` of a kind asked for.

    What DRAM's rate and latency do not change is shared by the points of a sweep.
    """

    most: int = 128
    kinds: dict[str, dict[Hashable, Any]] = field(default_factory=dict)
    tap_reads: Tables = field(default_factory=Tables)
    replays: Replays = field(default_factory=Replays)

    @property
    def patience(self) -> Patience:
        """With compiled code, which replays and plays."""
        return self.replays.patience

    def recall(
        self, kind: str, key: Hashable, find: Callable[[], Found], most: int | None = None
    ) -> Found:
        """What was found for `key` before, or what `find` finds now; `most` of small things."""
        known = self.kinds.setdefault(kind, {})
        result: Found = known.pop(key, UNKNOWN)
        if result is UNKNOWN:
            result = find()
        known[key] = result  # now the last one asked for
        if len(known) > (most or self.most):
            del known[next(iter(known))]
        return result
