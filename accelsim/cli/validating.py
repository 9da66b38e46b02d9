"""The command `validate`: accelsim against what others have published or measured."""

from os.path import splitext
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli.application import CHECK_FAILED
from accelsim.cli.inputs import gathered, raise_if_any
from accelsim.cli.options import JsonOption
from accelsim.cli.output import deliver, deliver_accuracy, is_quiet

if TYPE_CHECKING:
    from accelsim.report.export import Destinations
    from accelsim.validation.outcome import Validation


def validate(
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="Only this reference, row by row; repeatable."),
    ] = None,
    json: JsonOption = None,
    csv: Annotated[
        str | None,
        typer.Option("--csv", metavar="F", help="Write CSV, one row per number; - for stdout."),
    ] = None,
    report: Annotated[
        str | None,
        typer.Option(
            "--report",
            metavar="F",
            help="Write all of it as Markdown, a plot beside it as F's .svg.",
        ),
    ] = None,
) -> None:
    """Hold accelsim against published silicon, RTL and simulators; exit 1 outside a stated band.

    Example: `accelsim validate --only tpu`
    """
    from accelsim.report.export import Destinations, json_text, rows_text
    from accelsim.validation.sheets import validation_sheets

    picture = None if report is None else f"{splitext(report)[0]}.svg"
    destinations = Destinations(json, csv, files=(("--report", report), ("its plot", picture)))
    result = _validated(only or [], destinations)
    deliver_accuracy(report, picture, result)
    deliver(
        destinations,
        validation_sheets(result, every_row=bool(only)),
        lambda: json_text(result.as_dict()),
        lambda: rows_text(result.rows()),
        shown=not result.passed,
    )
    if not result.passed:
        raise typer.Exit(CHECK_FAILED)


def _validated(only: list[str], destinations: "Destinations") -> "Validation":
    """The references compared; raises InputError with everything that is wrong."""
    from accelsim.report.progress import progress
    from accelsim.validation.catalog import references, validate

    problems = list(destinations.problems)
    chosen = 0
    with gathered(problems):
        chosen = len(references(only))
    raise_if_any(problems)
    with progress(chosen, is_quiet()) as step:
        return validate(only, progress=lambda outcome: step(outcome.reference.name))
