"""The runs of one network that a page shows side by side."""

from collections.abc import Iterator
from dataclasses import dataclass

from accelsim.report.page.recorded import RunRecord
from accelsim.results.tiles import Tiles


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one network, side by side, what each is called, and its tiles where it has them."""

    runs: tuple[RunRecord, ...]
    labels: tuple[str, ...]
    tiles: tuple[Tiles | None, ...] = ()

    @property
    def network(self) -> str:
        """The network's name."""
        return self.runs[0].network

    @property
    def several(self) -> bool:
        """Whether there is something to compare."""
        return len(self.runs) > 1

    @property
    def best(self) -> int:
        """The run of the fewest seconds for an image."""
        return self.image_seconds.index(min(self.image_seconds))

    @property
    def image_seconds(self) -> list[float]:
        """What an image takes in each run."""
        return [run.totals.seconds / run.batch for run in self.runs]

    @property
    def pairs(self) -> Iterator[tuple[str, RunRecord]]:
        """Each run with its label."""
        return zip(self.labels, self.runs, strict=True)
