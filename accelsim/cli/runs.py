"""The commands that simulate now: run, compare, verify, validate."""

from dataclasses import replace
from os.path import splitext
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from accelsim.cli.application import CHECK_FAILED
from accelsim.cli.inputs import (
    Model,
    asked,
    cases,
    decoded,
    gathered,
    loaded,
    raise_if_any,
    told,
)
from accelsim.cli.options import (
    BatchOption,
    ColumnsOption,
    CsvOption,
    DataflowOption,
    DecodeOption,
    DimOption,
    HardwareName,
    JsonOption,
    MappingOption,
    NetworkName,
    OutputsOption,
    PastOption,
    ReportOption,
    SeedOption,
    SetOption,
    TrainOption,
    UnsupportedOption,
    WhyOption,
)
from accelsim.cli.output import (
    deliver,
    deliver_accuracy,
    deliver_mapping,
    deliver_page,
    hint,
    is_quiet,
)

if TYPE_CHECKING:
    from accelsim.hardware import Hardware
    from accelsim.network.graph import Network
    from accelsim.report.export import Destinations
    from accelsim.results import RunResult, VerifyResult
    from accelsim.results.comparison import Comparison
    from accelsim.validation.outcome import Validation
    from accelsim.why import Why


def run(
    context: typer.Context,
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK|RESULT.json",
            help="A built-in network, or a .yaml, .csv or .onnx file; with --again a result.",
        ),
    ],
    hardware: Annotated[
        str | None,
        typer.Argument(metavar="HARDWARE", help="A built-in accelerator, or a .yaml file."),
    ] = None,
    dataflow: DataflowOption = None,
    batch: BatchOption = 1,
    settings: SetOption = None,
    dim: DimOption = None,
    outputs: OutputsOption = None,
    unsupported: UnsupportedOption = "refuse",
    decode: DecodeOption = False,
    past: PastOption = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the values too; exit 1 if any is wrong.")
    ] = False,
    columns: ColumnsOption = None,
    why: WhyOption = False,
    trace: Annotated[
        str | None,
        typer.Option(
            "--trace",
            metavar="F",
            help="Write every tile and transfer, .json or .json.gz, for ui.perfetto.dev.",
        ),
    ] = None,
    trace_dram: Annotated[
        str | None,
        typer.Option(
            "--trace-dram",
            metavar="F",
            help="Write what crosses DRAM: .csv, .trc (DRAMsim3), .trace (Ramulator 2); or .gz.",
        ),
    ] = None,
    report: ReportOption = None,
    train: TrainOption = False,
    mapping: MappingOption = None,
    save_mapping: Annotated[
        str | None,
        typer.Option("--save-mapping", metavar="F", help="Write the tiles and loops that it took."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Repeat a saved result; exit 1 if a byte differs.")
    ] = False,
    json: JsonOption = None,
    csv: CsvOption = None,
) -> None:
    """Time a network on an accelerator, layer by layer.

    Example: `accelsim run vgg16 edge_ws --dataflow os --set array.rows=64`
    """
    from accelsim.cli.again import repeat
    from accelsim.facade import simulate
    from accelsim.report.export import Destinations, csv_text, json_text
    from accelsim.report.run import run_sheets
    from accelsim.report.verification import verify_sheets
    from accelsim.report.why import why_sheets

    if again:
        repeat(network, [hardware, dataflow, settings, mapping, dim, outputs, csv, json])
        return
    if hardware is None:
        context.fail("Missing argument 'HARDWARE', such as edge_ws.")
    written = {"--trace": trace, "--trace-dram": trace_dram, "--report": report}
    files = (*written.items(), ("--save-mapping", save_mapping))
    destinations = Destinations(json, csv, (network, hardware, mapping or hardware), files)
    wanted = Model(network, dim, outputs, unsupported)
    shown, model, machine = asked(wanted, hardware, settings, dataflow, columns, destinations)
    model = decoded(model, decode, past)
    model = _step_of(model) if train else model
    result = simulate(
        model, machine, batch=batch, trace=trace, mapping=mapping, trace_dram=trace_dram
    )
    decoding = {"past": past} if decode else {}
    result = told(result, settings, wanted, **_step_asked(train), **decoding)
    check = _checked(model, machine, batch, seed=0, mapping=mapping) if verify else None
    reason = _explained(result, model, machine) if why else None
    data = result.as_dict() | ({"verify": check.as_dict()} if check else {})
    data |= {"why": reason.as_dict()} if reason else {}
    sheets = run_sheets(result, machine, shown) + (verify_sheets(check) if check else [])
    sheets += why_sheets(reason) if reason else []
    deliver_page(report, [result])
    deliver_mapping(save_mapping, result)
    shown_too = columns is not None or why or (check is not None and not check.passed)
    deliver(
        destinations,
        sheets,
        lambda: json_text(data),
        lambda: csv_text([result]),
        shown=shown_too,
    )
    if check and not check.passed:
        raise typer.Exit(CHECK_FAILED)


def compare(
    names: Annotated[list[str], typer.Argument(metavar="NETWORK", help="One or more networks.")],
    hardware: Annotated[
        list[str] | None,
        typer.Option("--hardware", metavar="H...", help="Accelerators: --hardware A B."),
    ] = None,
    dataflows: Annotated[
        str | None,
        typer.Option(
            "--dataflows",
            metavar="D,...",
            help="What to compare; if left out os,ws,is and, where the hardware has spads, rs.",
        ),
    ] = None,
    batch: BatchOption = 1,
    settings: SetOption = None,
    dim: DimOption = None,
    outputs: OutputsOption = None,
    unsupported: UnsupportedOption = "refuse",
    columns: ColumnsOption = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="One row for each run, and no layers.")
    ] = False,
    by: Annotated[
        Literal["layer", "block"],
        typer.Option("--by", help="A row for each layer, or for each block, such as inception_3a."),
    ] = "layer",
    why: WhyOption = False,
    train: TrainOption = False,
    report: ReportOption = None,
    json: JsonOption = None,
    csv: CsvOption = None,
) -> None:
    """Compare dataflows: which is best for each layer and each network, and what bounds it.

    Example: `accelsim compare vgg16 googlenet --hardware edge_ws --dataflows os,ws,is`
    """
    from accelsim.report.columns import refuse_energy_without_table
    from accelsim.report.comparison import (
        compare_columns,
        comparison_dict,
        comparison_sheets,
        summary_sheet,
    )
    from accelsim.report.export import Destinations, csv_text, json_text
    from accelsim.report.why import why_sheets

    inputs = (*names, *(hardware or ()))
    destinations = Destinations(json, csv, inputs, (("--report", report),))
    problems = list(destinations.problems)
    with gathered(problems):
        shown = compare_columns(columns)
    wanted = [_model(name, dim, outputs, unsupported) for name in names]
    models, machines, named = cases(wanted, hardware or [], settings, dataflows, problems)
    refuse_energy_without_table(shown, machines)
    models = [_step_of(each) for each in models] if train else models
    step = _step_asked(train)
    comparisons = [
        replace(each, runs=tuple(told(run, settings, model, **step) for run in each.runs))
        for each, model in zip(
            _compared(models, machines, dataflows, batch), named * len(machines), strict=True
        )
    ]
    reasons = _reasons(comparisons, models, machines) if why else []
    deliver_page(report, (run for comparison in comparisons for run in comparison.runs))
    sheets = (
        [summary_sheet(comparisons, shown)]
        if summary
        else comparison_sheets(comparisons, shown, by)
    )
    deliver(
        destinations,
        sheets + [sheet for each in reasons for sheet in why_sheets(each)],
        lambda: json_text(comparison_dict(comparisons, reasons)),
        lambda: csv_text(run for comparison in comparisons for run in comparison.runs),
        shown=summary or why or columns is not None,
    )


def verify(
    network: NetworkName,
    hardware: HardwareName,
    dataflow: DataflowOption = None,
    batch: BatchOption = 1,
    seed: SeedOption = 0,
    settings: SetOption = None,
    dim: DimOption = None,
    outputs: OutputsOption = None,
    unsupported: UnsupportedOption = "refuse",
    decode: DecodeOption = False,
    past: PastOption = None,
    train: TrainOption = False,
    mapping: MappingOption = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Every layer, not only those that failed.")
    ] = False,
    json: JsonOption = None,
) -> None:
    """Check that the schedule that is timed computes the right values; exit 1 if not.

    Example: `accelsim verify lenet5 edge_ws --dataflow is`
    """
    from accelsim.report.export import Destinations, json_text
    from accelsim.report.verification import verify_sheets

    destinations = Destinations(json, None, (network, hardware))
    model, machine = loaded(
        Model(network, dim, outputs, unsupported),
        hardware,
        settings,
        dataflow,
        destinations.problems,
    )
    model = decoded(model, decode, past)
    model = _step_of(model) if train else model
    result = _checked(model, machine, batch, seed, mapping)
    sheets = verify_sheets(result, layers)
    shown = layers or not result.passed
    deliver(destinations, sheets, lambda: json_text(result.as_dict()), shown=shown)
    if not result.passed:
        raise typer.Exit(CHECK_FAILED)


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


def _step_asked(train: bool) -> dict[str, dict[str, str]]:
    """What `--train` stands for, as results say it."""
    return {"training": {"loss": "cross_entropy", "optimizer": "sgd"}} if train else {}


def _step_of(network: "Network") -> "Network":
    """A step of training a network, by plain descent on the cross entropy."""
    from accelsim.network.backward import training_step

    return training_step(network)


def _model(name: str, dims: list[str] | None, outputs: list[str] | None, unsupported: str) -> Model:
    """A network among several; sizes and outputs are of those that have them."""
    is_model = name.lower().endswith(".onnx")
    return Model(name, dims, outputs, unsupported) if is_model else Model(name)


def _compared(
    networks: "list[Network]", machines: "list[Hardware]", dataflows: str | None, batch: int
) -> "list[Comparison]":
    """Every network on every hardware, with progress shown."""
    from accelsim.facade import compare, variants
    from accelsim.report.progress import progress

    runs = sum(len(variants(machine, dataflows)) for machine in machines)
    with progress(len(networks) * runs, is_quiet()) as step:
        return compare(networks, machines, dataflows, batch, step)


def _explained(result: "RunResult", network: "Network", hardware: "Hardware") -> "Why":
    """What bounds the run and what would help, found by re-running with progress shown."""
    from accelsim.report.progress import progress
    from accelsim.why import explained, relaxed

    with progress(sum(1 for _ in relaxed(hardware)), is_quiet()) as step:
        return explained(result, network, hardware, step)


def _reasons(
    comparisons: "list[Comparison]", networks: "list[Network]", machines: "list[Hardware]"
) -> "list[Why]":
    """Of each network on each hardware, why it takes its time under the best dataflow."""
    from accelsim.facade import with_dataflow

    cases = ((network, machine) for machine in machines for network in networks)
    return [
        _explained(best, network, with_dataflow(machine, best.dataflow))
        for (network, machine), best in zip(cases, (each.best for each in comparisons), strict=True)
    ]


def _checked(
    network: "Network", hardware: "Hardware", batch: int, seed: int, mapping: str | None
) -> "VerifyResult":
    from accelsim.facade import verify
    from accelsim.report.progress import counted

    if network.macs * batch > _LONG_MACS:
        hint(_long(network, batch))
    if _unused(network, hardware):
        hint("weights of the model are real numbers, the formats integers: random codes")
    with counted("layers checked", is_quiet()) as count:
        return verify(network, hardware, None, batch, seed, count, mapping)


def _unused(network: "Network", hardware: "Hardware") -> bool:
    """Whether a framework's model has no codes for hardware that computes with integers."""
    from accelsim.network.graph import Stored

    stored = network.weights
    integers = hardware.precision.is_integer
    if not isinstance(stored, Stored) or not integers:
        return False
    return bool(stored.opened()) and not stored.codes(True, True)


_LONG_MACS = 10**10
_BYTES_PER_VALUE = 5  # a value as it is, and its reference while it is held against it


def _long(network: "Network", batch: int) -> str:
    """What a long check takes, said before it begins."""
    from accelsim.units import format_bytes

    values = sum(layer.output_elements for layer in network.layers) * batch
    return (
        f"every value of {batch:,} images is computed, {network.macs * batch:,} "
        "multiply-accumulates tile by tile: that takes minutes to hours, and about "
        f"{format_bytes(_BYTES_PER_VALUE * values)} of memory; Ctrl-C stops it"
    )


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
