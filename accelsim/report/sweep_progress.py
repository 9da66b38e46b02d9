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
from rich.table import Column

from accelsim.report.tell import tell
from accelsim.sweep.execute import Tally, Watcher
from accelsim.sweep.pareto import best_per_objective
from accelsim.sweep.quantities import Record, hardware_quantities, result_quantities
from accelsim.sweep.records import Outcome, Point
from accelsim.sweep.space import Sweep
from accelsim.text import visible

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
    """Points simulated per second since the first, for workers take a while to come."""

    def __init__(self) -> None:
        self.first: tuple[int, float] | None = None

    def of(self, tally: Tally) -> float:
        """Points per second; 0 before the second."""
        count, now = tally.done + tally.failed, time.monotonic()
        if count and self.first is None:
            self.first = count, now
        if self.first is None or now == self.first[1]:
            return 0.0
        return (count - self.first[0]) / (now - self.first[1])


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
    with _bar_on(Console(stderr=True)) as bar:
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
                description=visible(", ".join(part for part in parts if part)),
            )

        yield watch


def _bar_on(console: Console) -> Progress:
    """A bar and a text that take what the count and the times leave of the width."""
    return Progress(
        BarColumn(None, table_column=Column(ratio=1)),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False, table_column=Column(ratio=3, no_wrap=True)),
        console=console,
        transient=True,
        expand=True,
    )


def _lines(best: _Best, every_s: float = LINE_EVERY_S) -> Watcher:
    rate, said_at = _Rate(), time.monotonic()

    def watch(tally: Tally, point: Point | None, outcome: Outcome | None) -> None:
        nonlocal said_at
        if point and outcome:
            best.see(point, outcome)
        elif tally.stored:
            tell(_stored(tally))
        now, speed = time.monotonic(), rate.of(tally)
        if now - said_at >= every_s:
            said_at = now
            tell(_line(tally, speed, str(best)))

    return watch


def _stored(tally: Tally) -> str:
    """What was there before, and how those that failed are tried again."""
    said = f"{tally.stored:,} of {tally.total:,} points are stored already"
    if not tally.stored_failed:
        return said
    return f"{said}, {tally.stored_failed:,} of them failed; --retry-failed tries these again"


def _line(tally: Tally, rate: float, best: str) -> str:
    parts = [f"{tally.finished:,} of {tally.total:,} points", f"{tally.failed:,} failed"]
    if rate:
        left = (tally.total - tally.finished) / rate
        parts += [f"{rate:.1f} per second", f"{left:,.0f} s left"]
    parts.append(best)
    return ", ".join(part for part in parts if part)
