"""How far a sweep is, on standard error: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from accelsim.sweep.execute import Tally, Watcher
from accelsim.sweep.pareto import best_per_objective
from accelsim.sweep.quantities import Record, hardware_quantities, result_quantities
from accelsim.sweep.records import Outcome, Point
from accelsim.sweep.space import Sweep

LINE_EVERY_S = 10.0
SHOW_EVERY_S = 0.1


class _Best:
    """The best of the first objective that this run has met, by network."""

    def __init__(self, sweep: Sweep) -> None:
        self.constraints = sweep.constraints
        self.name, direction = next(iter(sweep.objectives.items()))
        self.objectives = {self.name: direction}
        self.records: dict[str, Record] = {}

    def see(self, point: Point, outcome: Outcome) -> None:
        """Compare an outcome with the best so far."""
        record: Record = {
            **hardware_quantities(point.hardware),
            **result_quantities(outcome.totals, point.batch),
        }
        before = self.records.get(point.network)
        rivals = [record] if before is None else [before, record]
        best = best_per_objective(rivals, self.objectives, self.constraints)
        if best:
            self.records[point.network] = best[self.name]

    def __str__(self) -> str:
        """Such as: best cycles 1,234 (vgg16)."""
        found = ", ".join(
            f"{record[self.name]:,.6g} ({network})" for network, record in self.records.items()
        )
        return f"best {self.name} {found}" if found else ""


class _Rate:
    """Points simulated per second since the start."""

    def __init__(self) -> None:
        self.begun = time.monotonic()

    def of(self, tally: Tally) -> float:
        """Points per second; 0 before the first."""
        return (tally.done + tally.failed) / max(time.monotonic() - self.begun, 1e-9)


@contextmanager
def sweep_progress(sweep: Sweep, quiet: bool = False) -> Iterator[Watcher | None]:
    """What to call after each point; None if `quiet`."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar(_Best(sweep)) as watch:
            yield watch
    else:
        yield _lines(_Best(sweep))


@contextmanager
def _bar(best: _Best) -> Iterator[Watcher]:
    rate = _Rate()
    bar = Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None)

        shown_at = -SHOW_EVERY_S

        def watch(tally: Tally, point: Point | None, outcome: Outcome | None) -> None:
            nonlocal shown_at
            if point and outcome:
                best.see(point, outcome)
            now = time.monotonic()
            if now - shown_at < SHOW_EVERY_S and tally.finished < tally.total:
                return
            shown_at = now
            parts = [f"{rate.of(tally):.1f}/s", f"{tally.failed} failed", str(best)]
            bar.update(
                task,
                total=tally.total,
                completed=tally.finished,
                description=", ".join(part for part in parts if part),
            )

        yield watch


def _lines(best: _Best, every_s: float = LINE_EVERY_S) -> Watcher:
    rate, said_at = _Rate(), time.monotonic()

    def watch(tally: Tally, point: Point | None, outcome: Outcome | None) -> None:
        nonlocal said_at
        if point and outcome:
            best.see(point, outcome)
        elif tally.stored:
            _say(f"{tally.stored:,} of {tally.total:,} points are stored already")
        now = time.monotonic()
        if now - said_at >= every_s:
            said_at = now
            _say(_line(tally, rate.of(tally), str(best)))

    return watch


def _line(tally: Tally, rate: float, best: str) -> str:
    left = (tally.total - tally.finished) / rate if rate else 0.0
    parts = [
        f"{tally.finished:,} of {tally.total:,} points",
        f"{tally.failed:,} failed",
        f"{rate:.1f} per second",
        f"{left:,.0f} s left",
        best,
    ]
    return ", ".join(part for part in parts if part)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
