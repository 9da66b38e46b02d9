"""The commands around many points, and what differs: sweep, results, diff."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli.application import CHECK_FAILED
from accelsim.cli.bundles import bundled
from accelsim.cli.inputs import gathered, raise_if_any
from accelsim.cli.options import (
    DryRunOption,
    JobsOption,
    JsonOption,
    RepairOption,
    ReportOption,
    ResultsOption,
    RetryOption,
    SchedulerOption,
)
from accelsim.cli.output import deliver, deliver_sweep_page, print_sheets
from accelsim.errors import Problem, TryAgainError

if TYPE_CHECKING:
    from accelsim.sweep.execute import Runner
    from accelsim.sweep.space import Sweep
    from accelsim.sweep.store import Store
    from accelsim.sweep.summary import Summary


@dataclass(frozen=True, slots=True)
class Execution:
    """Where the points of a sweep are run, and where their results go."""

    jobs: JobsOption = None
    scheduler: SchedulerOption = None
    path: ResultsOption = None
    retry_failed: RetryOption = False
    repair: RepairOption = False


@bundled
def sweep(
    file: Annotated[
        str, typer.Argument(metavar="SWEEP", help="A built-in sweep, or a .yaml file.")
    ],
    execution: Execution,
    dry_run: DryRunOption = False,
    report: ReportOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> None:
    """Run many points of hardware, networks and batches; go on where it was if run again.

    Exit 1 if a point failed, 75 if the cluster was lost: the same command goes on.

    Example: `accelsim sweep array_shape --jobs 2`
    """
    from accelsim.report.export import Destinations
    from accelsim.report.sweep import dry_run_sheets

    raise_if_any(Destinations(inputs=(file,), files=(("--report", report),)).problems)
    resolved = _resolved(file, quiet)
    if dry_run:
        print_sheets(dry_run_sheets(resolved))
        return
    summary = _run_points(resolved, execution, report, quiet)
    if summary.failed:
        raise typer.Exit(CHECK_FAILED)


def _resolved(file: str, quiet: bool) -> "Sweep":
    """The points of a sweep file, with hints about it; raises InputError."""
    from accelsim.report.progress import counted
    from accelsim.report.tell import tell
    from accelsim.sweep.space import resolve_file

    with counted("parts checked", quiet) as count:
        resolved = resolve_file(file, count)
    for hint in () if quiet else resolved.hints:
        tell(f"hint: {hint}")
    return resolved


def _run_points(
    resolved: "Sweep", execution: Execution, report: str | None, quiet: bool
) -> "Summary":
    """Run the points that are not done yet, then write and print what all of them say."""
    import logging

    from accelsim.report.sweep import results_sheets
    from accelsim.report.tell import tell
    from accelsim.sweep.execute import default_path, runner_for
    from accelsim.sweep.store import Store

    path = execution.path or str(default_path(resolved))
    runner = runner_for(execution.jobs, execution.scheduler, resolved.timeout_s)
    level = logging.ERROR if quiet else logging.WARNING
    with logged(level), Store.open(path, resolved, execution.repair) as store:
        summary = _swept(resolved, store, runner, execution.retry_failed, quiet)
    deliver_sweep_page(report, summary)
    if not quiet:
        print_sheets(results_sheets(summary))
        tell(f"results: {path}; accelsim results {path}")
    return summary


@contextmanager
def logged(level: int) -> Iterator[None]:
    """Within it, accelsim logs what is at least of a level."""
    import logging

    log = logging.getLogger("accelsim")
    before = log.level
    log.setLevel(level)
    try:
        yield
    finally:
        log.setLevel(before)


def results(
    file: Annotated[str, typer.Argument(metavar="FILE", help="What `accelsim sweep` has written.")],
    json: JsonOption = None,
    csv: Annotated[
        str | None,
        typer.Option("--csv", metavar="F", help="Write CSV, one row per point; - for stdout."),
    ] = None,
    by_layer: Annotated[
        bool, typer.Option("--by-layer", help="CSV has one row per point and layer.")
    ] = False,
    report: ReportOption = None,
    export: Annotated[
        str | None,
        typer.Option("--export", metavar="F2", help="Copy the results, though a sweep may write."),
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Drop damaged rows; the sweep computes them again.")
    ] = False,
) -> None:
    """Show what a sweep found: Pareto front, best per objective, failures. It may still run.

    Example: `accelsim results array_shape.sqlite --csv points.csv`
    """
    from accelsim.files import copy_obstacles
    from accelsim.report.export import Destinations, json_text, rows_text, streamed_text
    from accelsim.report.sweep import results_sheets
    from accelsim.sweep.store import Store
    from accelsim.sweep.summary import brief_summary_of, summary_of

    destinations = Destinations(json, csv, (file,), (("--report", report),))
    problems = list(destinations.problems)
    if by_layer and csv is None:
        problems.append(
            Problem(message="is for --csv; add --csv F, or --csv - for stdout", source="--by-layer")
        )
    problems += [
        Problem(message=each, source=f"--export {export}") for each in copy_obstacles(export)
    ]
    raise_if_any(problems)
    if repair:
        Store.repair(file)
    with Store.read(file) as store:
        if export is not None:
            store.export(Path(export))
        summary = summary_of(store) if json or csv else brief_summary_of(store)
    deliver_sweep_page(report, summary)
    deliver(
        destinations,
        results_sheets(summary),
        lambda: json_text(summary.as_dict()),
        lambda: streamed_text(summary.layers) if by_layer else rows_text(summary.records),
    )


def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A sweep's results, or run --json.")],
    after: Annotated[str, typer.Argument(metavar="B", help="Another one of the same kind.")],
    json: JsonOption = None,
    csv: Annotated[
        str | None,
        typer.Option("--csv", metavar="F", help="Write CSV, one row per change; - for stdout."),
    ] = None,
    fail_above: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-above",
            metavar="QUANTITY=P%",
            help="Exit 1 if it grew by more, of the whole run or of any point: cycles=1%.",
        ),
    ] = None,
) -> None:
    """Say what changed between two sweeps, point by point, or two runs, layer by layer.

    Example: `accelsim diff before.json after.json`
    """
    from accelsim.report.difference import difference_sheets
    from accelsim.report.export import Destinations, json_text, rows_text
    from accelsim.report.tell import tell
    from accelsim.sweep.difference import difference
    from accelsim.sweep.limits import exceeded, limits_of

    destinations = Destinations(json, csv, (before, after))
    problems = destinations.problems
    with gathered(problems):
        limits = limits_of(fail_above or ())
    raise_if_any(problems)
    found = difference(before, after)
    deliver(
        destinations,
        difference_sheets(found),
        lambda: json_text(found.as_dict()),
        lambda: rows_text(found.rows()),
    )
    above = list(exceeded(found, limits))
    for said in above:
        tell(said)
    if above:
        raise typer.Exit(CHECK_FAILED)


def _swept(
    resolved: "Sweep", store: "Store", runner: "Runner", retry_failed: bool, quiet: bool
) -> "Summary":
    """What the sweep found; whatever stops it, this says how to go on."""
    from accelsim.report.sweep_progress import sweep_progress
    from accelsim.report.tell import tell
    from accelsim.sweep.execute import execute
    from accelsim.sweep.summary import brief_summary_of

    try:
        with sweep_progress(resolved, quiet) as watch:
            execute(resolved, store, runner, watch, retry_failed)
    except (KeyboardInterrupt, TryAgainError):
        stored = len(store.done_keys())
        tell(
            f"{stored:,} finished points are safe in {store.path}; the same command goes on from "
            "there"
        )
        raise
    return brief_summary_of(store)
