"""The command `compare`: dataflows side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli.bundles import Reading, Step, bundled
from accelsim.cli.inputs import Model, cases, decoded, gathered, told
from accelsim.cli.options import (
    BatchOption,
    ByOption,
    ColumnsOption,
    CsvOption,
    DataflowsOption,
    DecodeOption,
    JsonOption,
    PastOption,
    ReportOption,
    SetOption,
    SummaryOption,
    WhyOption,
)
from accelsim.cli.output import deliver, deliver_page, is_quiet
from accelsim.cli.reasons import explained_run

if TYPE_CHECKING:
    from accelsim.cli.inputs import Cases
    from accelsim.hardware import Hardware
    from accelsim.network.graph import Network
    from accelsim.report.columns import Shown
    from accelsim.report.export import Destinations
    from accelsim.results.comparison import Comparison
    from accelsim.why import Why


@dataclass(frozen=True, slots=True)
class Compared:
    """What is compared: on which hardware, under which dataflows, with how many images."""

    hardware: Annotated[
        list[str] | None,
        typer.Option("--hardware", metavar="H...", help="Accelerators: --hardware A B."),
    ] = None
    dataflows: DataflowsOption = None
    batch: BatchOption = 1
    settings: SetOption = None
    decode: DecodeOption = False
    past: PastOption = None


@dataclass(frozen=True, slots=True)
class Tables:
    """How a comparison is shown."""

    columns: ColumnsOption = None
    summary: SummaryOption = False
    by: ByOption = "layer"
    why: WhyOption = False


@dataclass(frozen=True, slots=True)
class Files:
    """Where a comparison goes."""

    report: ReportOption = None
    json: JsonOption = None
    csv: CsvOption = None


@bundled
def compare(
    names: Annotated[list[str], typer.Argument(metavar="NETWORK", help="One or more networks.")],
    asked: Compared,
    step: Step,
    reading: Reading,
    tables: Tables,
    files: Files,
) -> None:
    """Compare dataflows: which is best for each layer and each network, and what bounds it.

    Example: `accelsim compare vgg16 googlenet --hardware edge_npu --dataflows os,ws,is`
    """
    from accelsim.report.comparison import compare_columns
    from accelsim.report.export import Destinations

    inputs = (*names, *(asked.hardware or ()))
    destinations = Destinations(files.json, files.csv, inputs, (("--report", files.report),))
    problems = list(destinations.problems)
    shown: tuple[Shown, ...] = ()
    with gathered(problems):
        shown = compare_columns(tables.columns)
    wanted = [_model(name, reading) for name in names]
    found = cases(wanted, asked.hardware or [], asked.settings, asked.dataflows, problems)
    comparisons, reasons = _compared(
        asked, step, found, shown, tables.why, files.report is not None
    )
    deliver_page(files.report, (run for each in comparisons for run in each.runs))
    _deliver_comparisons(comparisons, reasons, shown, tables, destinations)


def _compared(
    asked: Compared,
    step: Step,
    found: "Cases",
    shown: "Sequence[Shown]",
    why: bool,
    tiles: bool,
) -> "tuple[list[Comparison], list[Why]]":
    """The comparisons, saying what made them, and where asked for why the best take their time."""
    from accelsim.report.columns import refuse_energy_without_table

    networks, machines, models = found
    refuse_energy_without_table(shown, machines)
    networks = [step.of(decoded(each, asked.decode, asked.past)) for each in networks]
    said = step.said | ({"past": asked.past} if asked.decode else {})
    timed = _timed(networks, machines, asked.dataflows, asked.batch, tiles)
    comparisons = [
        replace(each, runs=tuple(told(run, asked.settings, model, **said) for run in each.runs))
        for each, model in zip(timed, models * len(machines), strict=True)
    ]
    return comparisons, _reasons(comparisons, networks, machines) if why else []


def _deliver_comparisons(
    comparisons: "Sequence[Comparison]",
    reasons: "Sequence[Why]",
    shown: "tuple[Shown, ...]",
    tables: Tables,
    destinations: "Destinations",
) -> None:
    """Write and print the comparisons."""
    from accelsim.report.comparison import comparison_dict, comparison_sheets, summary_sheet
    from accelsim.report.export import csv_text, json_text
    from accelsim.report.why import why_sheets

    sheets = (
        [summary_sheet(comparisons, shown)]
        if tables.summary
        else comparison_sheets(comparisons, shown, tables.by)
    )
    deliver(
        destinations,
        sheets + [sheet for each in reasons for sheet in why_sheets(each)],
        lambda: json_text(comparison_dict(comparisons, reasons)),
        lambda: csv_text(run for each in comparisons for run in each.runs),
        shown=tables.summary or tables.why or tables.columns is not None,
    )


def _model(name: str, reading: Reading) -> Model:
    """A network among several; sizes and outputs are of those that have them."""
    is_model = name.lower().endswith(".onnx")
    return reading.model(name) if is_model else Model(name)


def _timed(
    networks: "list[Network]",
    machines: "list[Hardware]",
    dataflows: str | None,
    batch: int,
    tiles: bool,
) -> "list[Comparison]":
    """Every network on every hardware, with progress shown."""
    from accelsim.facade import compare
    from accelsim.given import variants
    from accelsim.report.progress import progress

    runs = sum(len(variants(machine, dataflows)) for machine in machines)
    with progress(len(networks) * runs, is_quiet()) as step:
        return compare(networks, machines, dataflows, batch, step, tiles=tiles)


def _reasons(
    comparisons: "list[Comparison]", networks: "list[Network]", machines: "list[Hardware]"
) -> "list[Why]":
    """Of each network on each hardware, why it takes its time under the best dataflow."""
    from accelsim.given import with_dataflow

    cases = ((network, machine) for machine in machines for network in networks)
    return [
        explained_run(best, network, with_dataflow(machine, best.dataflow))
        for (network, machine), best in zip(cases, (each.best for each in comparisons), strict=True)
    ]
