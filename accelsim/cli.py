"""The command line: it reads what the user wants, calls the facade and prints the reports.

Exit status: 0 fine; 1 a check failed; 2 the input is wrong; 70 accelsim itself is wrong (a bug);
75 what it ran on has gone (a cluster's scheduler), the same command goes on;
130 stopped by Ctrl-C; 141 the reader of the output has gone.

Everything heavy is imported inside the commands, so that `accelsim --help` is quick.
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from accelsim.errors import (
    AccelsimError,
    DoesNotFitError,
    InputError,
    Problem,
    SimulationError,
    TryAgainError,
)

if TYPE_CHECKING:
    from accelsim.hardware import Hardware
    from accelsim.network.graph import Network
    from accelsim.report.comparison import Comparison
    from accelsim.report.export import Destinations
    from accelsim.report.sheet import Sheet
    from accelsim.results import RunResult, VerifyResult
    from accelsim.sweep.space import Sweep
    from accelsim.sweep.summary import Summary
    from accelsim.validation.outcome import Validation
    from accelsim.why import Why

CHECK_FAILED, BAD_INPUT, BUG, TRY_AGAIN, INTERRUPTED, READER_GONE = 1, 2, 70, 75, 130, 141

# --- What goes wrong ------------------------------------------------------------------------------


class Commands(TyperGroup):
    """The commands, with failures as messages and exit statuses instead of tracebacks."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the context names."""
        try:
            return super().invoke(ctx)
        except SimulationError as error:
            _complain("internal error", error)
            print(
                f"This is a bug in accelsim {_version()}, not in your files. Please report it with "
                "this command, the files it names and the lines above.",
                file=sys.stderr,
            )
            raise typer.Exit(BUG) from None
        except TryAgainError as error:
            _complain("error", error)
            raise typer.Exit(TRY_AGAIN) from None
        except AccelsimError as error:
            _complain("error", error)
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # The interpreter must not flush what is still buffered on its way out.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(READER_GONE) from None


def _complain(prefix: str, error: AccelsimError) -> None:
    for line in str(error).splitlines():
        print(f"{prefix}: {line}", file=sys.stderr)


@contextmanager
def _gathered(problems: list[Problem]) -> Iterator[None]:
    """Note what is wrong and go on, so that all problems can be told at once."""
    try:
        yield
    except InputError as error:
        problems += error.problems


def _raise_if_any(problems: Sequence[Problem]) -> None:
    if problems:
        raise InputError(problems)


# --- Arguments and options ------------------------------------------------------------------------

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

NetworkName = Annotated[
    str, typer.Argument(metavar="NETWORK", help="A built-in network, or a .yaml or .csv file.")
]
HardwareName = Annotated[
    str, typer.Argument(metavar="HARDWARE", help="A built-in accelerator, or a .yaml file.")
]
DataflowOption = Annotated[
    str | None,
    typer.Option(
        "--dataflow", metavar="D", help="os, ws, is or rs; the hardware's own if not given."
    ),
]
BatchOption = Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Images at a time.")]
SeedOption = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, help="Of random weights and inputs.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Replace a setting of the hardware, such as array.rows=64; may be repeated.",
    ),
]
JsonOption = Annotated[
    str | None, typer.Option("--json", metavar="F", help="Write JSON to a file; - for stdout.")
]
CsvOption = Annotated[
    str | None,
    typer.Option("--csv", metavar="F", help="Write CSV, one row per layer; - for stdout."),
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="NAME,...",
        help="Add columns: cycles, util, mapping, op, output, macs, bound, dram, dram_read, "
        "dram_write; **buckets** (useful, idle_pes, fill_drain, buffer, read_wait, write_wait, "
        "other_layer); energy, pj_per_mac, **components** (mac_energy, vector_energy, "
        "register_energy, network_energy, buffer_energy, dram_energy). With **only** among them, "
        "leave out the usual ones.",
    ),
]
WhyOption = Annotated[
    bool,
    typer.Option(
        "--why", help="Say what bounds the network and what would help most, by re-running."
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"accelsim {_version()}")
        raise typer.Exit


def _version() -> str:
    from accelsim import __version__

    return __version__


@app.callback()
def accelsim(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    """Simulate neural networks on AI accelerators: cycles, utilization, traffic, exact values.

    Try `accelsim list`, then `accelsim compare vgg16 googlenet --hardware edge_ws`.

    Exit status: 0 fine, 1 a check failed, 2 the input is wrong.
    """


# --- Commands -------------------------------------------------------------------------------------


@app.command()
def run(
    network: NetworkName,
    hardware: HardwareName,
    dataflow: DataflowOption = None,
    batch: BatchOption = 1,
    settings: SetOption = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the values too; exit 1 if any is wrong.")
    ] = False,
    columns: ColumnsOption = None,
    why: WhyOption = False,
    json: JsonOption = None,
    csv: CsvOption = None,
) -> None:
    """Time a network on an accelerator, layer by layer.

    Example: `accelsim run vgg16 edge_ws --dataflow os --set array.rows=64`
    """
    from accelsim.facade import simulate
    from accelsim.report.columns import RUN_COLUMNS, refuse_energy_without_table, shown_columns
    from accelsim.report.export import Destinations, csv_text, json_text
    from accelsim.report.run import run_sheets
    from accelsim.report.sheet import Sheet
    from accelsim.report.verification import verify_sheets

    destinations = Destinations(json, csv)
    problems = list(destinations.problems)
    with _gathered(problems):
        shown = shown_columns(columns, RUN_COLUMNS)
    model, machine = _loaded(network, hardware, settings, dataflow, problems)
    refuse_energy_without_table(shown, [machine])
    result = simulate(model, machine, batch=batch)
    check = _checked(model, machine, batch, seed=0) if verify else None
    reason = _explained(result, model, machine) if why else None
    data = result.as_dict() | ({"verify": check.as_dict()} if check else {})
    data |= {"why": reason.as_dict()} if reason else {}
    sheets = run_sheets(result, machine, shown) + (verify_sheets(check) if check else [])
    sheets += [Sheet(reason.sentence)] if reason else []
    _deliver(destinations, sheets, lambda: json_text(data), lambda: csv_text([result]))
    if check and not check.passed:
        raise typer.Exit(CHECK_FAILED)


@app.command()
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
    columns: ColumnsOption = None,
    why: WhyOption = False,
    json: JsonOption = None,
    csv: CsvOption = None,
) -> None:
    """Compare dataflows: which is best for each layer and each network, and what bounds it.

    Example: `accelsim compare vgg16 googlenet --hardware edge_ws --dataflows os,ws,is`
    """
    from accelsim.report.columns import refuse_energy_without_table
    from accelsim.report.comparison import compare_columns, comparison_dict, comparison_sheets
    from accelsim.report.export import Destinations, csv_text, json_text
    from accelsim.report.sheet import Sheet

    destinations = Destinations(json, csv)
    problems = list(destinations.problems)
    with _gathered(problems):
        shown = compare_columns(columns)
    models, machines = _cases(names, hardware or [], settings, dataflows, problems)
    refuse_energy_without_table(shown, [each for variants in machines for each in variants])
    comparisons = _compared(models, machines, batch)
    reasons = _reasons(comparisons, models, machines) if why else []
    _deliver(
        destinations,
        comparison_sheets(comparisons, shown) + [Sheet(each.sentence) for each in reasons],
        lambda: json_text(comparison_dict(comparisons, reasons)),
        lambda: csv_text(run for comparison in comparisons for run in comparison.runs),
    )


@app.command()
def verify(
    network: NetworkName,
    hardware: HardwareName,
    dataflow: DataflowOption = None,
    batch: BatchOption = 1,
    seed: SeedOption = 0,
    settings: SetOption = None,
    json: JsonOption = None,
) -> None:
    """Check that the schedule that is timed computes the right values; exit 1 if not.

    Example: `accelsim verify lenet5 edge_ws --dataflow is`
    """
    from accelsim.report.export import Destinations, json_text
    from accelsim.report.verification import verify_sheets

    destinations = Destinations(json)
    model, machine = _loaded(network, hardware, settings, dataflow, destinations.problems)
    result = _checked(model, machine, batch, seed)
    _deliver(destinations, verify_sheets(result), lambda: json_text(result.as_dict()))
    if not result.passed:
        raise typer.Exit(CHECK_FAILED)


@app.command()
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
) -> None:
    """Hold accelsim against published silicon, RTL and simulators; exit 1 outside a stated band.

    Example: `accelsim validate --only tpu`
    """
    from accelsim.report.export import Destinations, json_text, rows_text
    from accelsim.validation.sheets import validation_sheets

    destinations = Destinations(json, csv)
    result = _validated(only or [], destinations)
    _deliver(
        destinations,
        validation_sheets(result, every_row=bool(only)),
        lambda: json_text(result.as_dict()),
        lambda: rows_text(result.rows()),
    )
    if not result.passed:
        raise typer.Exit(CHECK_FAILED)


@app.command()
def sweep(
    file: Annotated[
        str, typer.Argument(metavar="SWEEP", help="A built-in sweep, or a .yaml file.")
    ],
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            metavar="N",
            min=1,
            help="Processes, at most one per core; as many if left out.",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", metavar="ADDRESS", help="Of a Dask cluster: tcp://HOST:PORT."),
    ] = None,
    path: Annotated[
        str | None,
        typer.Option("--results", metavar="F", help="SQLite file; NAME.sqlite if left out."),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try points that failed before once more.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check and list the points.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> None:
    """Run many points of hardware, networks and batches; go on where it was if run again.

    Exit 1 if a point failed, 75 if the cluster was lost: the same command goes on.

    Example: `accelsim sweep array_shape --jobs 2`
    """
    from accelsim.frontend.sweep_file import load_sweep
    from accelsim.report.progress import counted
    from accelsim.report.sweep import dry_run_sheets
    from accelsim.sweep.execute import default_path
    from accelsim.sweep.space import resolve

    with counted("points checked") as tell:
        resolved = resolve(load_sweep(file), tell)
    if not quiet:
        for hint in resolved.hints:
            print(f"hint: {hint}", file=sys.stderr)
    if dry_run:
        _print_sheets(dry_run_sheets(resolved))
        return
    destination = path or str(default_path(resolved))
    summary = _swept(resolved, destination, jobs, scheduler, retry_failed, quiet)
    if not quiet:
        from accelsim.report.sweep import results_sheets

        _print_sheets(results_sheets(summary))
        print(f"results: {destination}; accelsim results {destination}", file=sys.stderr)
    if summary.failed:
        raise typer.Exit(CHECK_FAILED)


@app.command()
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
) -> None:
    """Show what a sweep found: Pareto front, best per objective, failures. It may still run.

    Example: `accelsim results array_shape.sqlite --csv points.csv`
    """
    from accelsim.report.export import Destinations, json_text, rows_text, streamed_text
    from accelsim.report.sweep import results_sheets
    from accelsim.sweep.store import Store
    from accelsim.sweep.summary import brief_summary_of, summary_of

    destinations = Destinations(json, csv)
    problems = list(destinations.problems)
    if by_layer and csv is None:
        problems.append(Problem("is for --csv; add --csv F, or --csv - for stdout", "--by-layer"))
    _raise_if_any(problems)
    with Store.read(file) as store:
        summary = summary_of(store) if json or csv else brief_summary_of(store)
    _deliver(
        destinations,
        results_sheets(summary),
        lambda: json_text(summary.as_dict()),
        lambda: streamed_text(summary.layers) if by_layer else rows_text(summary.records),
    )


@app.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A sweep's results, or run --json.")],
    after: Annotated[str, typer.Argument(metavar="B", help="Another one of the same kind.")],
    json: JsonOption = None,
    csv: Annotated[
        str | None,
        typer.Option("--csv", metavar="F", help="Write CSV, one row per change; - for stdout."),
    ] = None,
) -> None:
    """Say what changed between two sweeps, point by point, or two runs, layer by layer.

    Example: `accelsim diff before.json after.json`
    """
    from accelsim.report.difference import difference_sheets
    from accelsim.report.export import Destinations, json_text, rows_text
    from accelsim.sweep.difference import difference

    destinations = Destinations(json, csv)
    _raise_if_any(destinations.problems)
    found = difference(before, after)
    _deliver(
        destinations,
        difference_sheets(found),
        lambda: json_text(found.as_dict()),
        lambda: rows_text(found.rows()),
    )


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NETWORK|HARDWARE", help="A built-in name, or a file.")
    ],
    json: JsonOption = None,
) -> None:
    """Show what a network is made of, or every setting of an accelerator and what follows.

    Example: `accelsim show googlenet`
    """
    from accelsim.frontend import load_network
    from accelsim.frontend.hardware_file import load_hardware
    from accelsim.frontend.kind import expect_kind
    from accelsim.report import description
    from accelsim.report.export import Destinations, json_text

    destinations = Destinations(json)
    _raise_if_any(destinations.problems)
    if expect_kind(name) == "network":
        network = load_network(name)
        sheets, data = description.network_sheets(network), description.network_dict(network)
    else:
        hardware = load_hardware(name)
        sheets, data = description.hardware_sheets(hardware), description.hardware_dict(hardware)
    _deliver(destinations, sheets, lambda: json_text(data))


@app.command(name="list")
def list_builtin() -> None:
    """List the built-in networks, accelerators, energy tables and sweeps."""
    from accelsim.frontend import load_network
    from accelsim.frontend.builtin import builtin_names
    from accelsim.frontend.energy_file import load_energy_table
    from accelsim.frontend.hardware_file import load_hardware
    from accelsim.frontend.sweep_file import load_sweep
    from accelsim.report.listing import list_sheets

    networks = {name: load_network(name) for name in builtin_names("workloads")}
    hardware = {name: load_hardware(name) for name in builtin_names("configs")}
    tables = {name: load_energy_table(name) for name in builtin_names("configs/energy")}
    sweeps = {name: load_sweep(name) for name in builtin_names("configs/sweeps")}
    _print_sheets(list_sheets(networks, hardware, tables, sweeps))


@app.command()
def schema(
    kind: Annotated[
        Literal["network", "hardware", "sweep"],
        typer.Argument(metavar="network|hardware|sweep", help="The kind of file."),
    ],
) -> None:
    """Print the JSON schema of a kind of files, for editors that check YAML."""
    from accelsim.frontend.network_file import network_schema
    from accelsim.frontend.sweep_file import SweepFile
    from accelsim.hardware import Hardware
    from accelsim.report.export import json_text

    schemas: dict[str, Callable[[], dict[str, Any]]] = {
        "network": network_schema,
        "hardware": Hardware.model_json_schema,
        "sweep": SweepFile.model_json_schema,
    }
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    _emit(json_text(dialect | schemas[kind]()))


# --- From names to results ------------------------------------------------------------------------


def _loaded(
    network: str,
    hardware: str,
    settings: list[str] | None,
    dataflow: str | None,
    known: Sequence[Problem],
) -> "tuple[Network, Hardware]":
    """A network and a hardware; raises InputError with all problems, those `known` already too."""
    from accelsim.facade import with_dataflow

    problems = list(known)
    with _gathered(problems):
        model = _network(network)
    with _gathered(problems):
        machine = _hardware(hardware, settings)
        if dataflow is not None:
            machine = with_dataflow(machine, dataflow)
    _raise_if_any(problems)
    return model, machine


def _network(name: str) -> "Network":
    from accelsim.frontend import load_network
    from accelsim.frontend.kind import kind_of

    if kind_of(name) == "hardware":
        raise InputError(Problem("is hardware, but a network is expected here", name))
    return load_network(name)


def _hardware(name: str, settings: list[str] | None) -> "Hardware":
    from accelsim.frontend.hardware_file import load_hardware
    from accelsim.frontend.kind import kind_of

    if kind_of(name) == "network":
        raise InputError(Problem("is a network, but hardware is expected here", name))
    return load_hardware(name, settings or ())


def _cases(
    names: list[str],
    hardware: list[str],
    settings: list[str] | None,
    dataflows: str | None,
    known: Sequence[Problem],
) -> "tuple[list[Network], list[list[Hardware]]]":
    """The networks to compare, and each hardware under every dataflow.

    Raises InputError with all problems, those `known` already too.
    """
    from accelsim.facade import with_dataflow

    problems = list(known)
    network_names, machine_names = _by_kind(names, hardware, problems)
    named = [*dict.fromkeys(flow.strip() for flow in dataflows.split(","))] if dataflows else None
    networks: list[Network] = []
    machines: list[list[Hardware]] = []
    for name in network_names:
        with _gathered(problems):
            networks.append(_network(name))
    for name in machine_names:
        with _gathered(problems):
            machine = _hardware(name, settings)
            flows = machine.dataflows if named is None else named
            machines.append([with_dataflow(machine, flow) for flow in flows])
    _raise_if_any(problems)
    return networks, machines


def _by_kind(
    names: list[str], hardware: list[str], problems: list[Problem]
) -> tuple[list[str], list[str]]:
    """The networks and the hardware, each once.

    `--hardware a b` gives `b` as one of the `names`, so what is hardware there joins the others.
    """
    from accelsim.frontend.kind import expect_kind

    networks: list[str] = []
    machines = list(hardware)
    before = len(problems)
    for name in names:
        with _gathered(problems):
            (machines if expect_kind(name) == "hardware" else networks).append(name)
    if not machines:
        problems.append(Problem("give at least one, such as --hardware edge_ws", "--hardware"))
    if not networks and len(problems) == before:
        problems.append(Problem("name at least one network, such as vgg16", "NETWORK..."))
    return list(dict.fromkeys(networks)), list(dict.fromkeys(machines))


def _compared(
    networks: "list[Network]", machines: "list[list[Hardware]]", batch: int
) -> "list[Comparison]":
    """Every network on every hardware; raises DoesNotFitError with all that do not fit."""
    from accelsim.report.comparison import Comparison
    from accelsim.report.progress import progress

    misfits: list[str] = []
    comparisons = []
    with progress(len(networks) * sum(map(len, machines))) as step:
        for variants in machines:
            for network in networks:
                runs = []
                for hardware in variants:
                    runs += _timed(network, hardware, batch, misfits)
                    step(f"{network.name} on {hardware.name}, {hardware.array.dataflow}")
                comparisons.append(Comparison(tuple(runs)))
    if misfits:
        raise DoesNotFitError("\n".join(misfits))
    return comparisons


def _timed(
    network: "Network", hardware: "Hardware", batch: int, misfits: list[str]
) -> "list[RunResult]":
    """The run, or none where a layer does not fit, which `misfits` then says."""
    from accelsim.facade import simulate

    try:
        return [simulate(network, hardware, batch=batch)]
    except DoesNotFitError as error:
        misfits += [f"{hardware.array.dataflow}: {line}" for line in str(error).splitlines()]
        return []


def _explained(result: "RunResult", network: "Network", hardware: "Hardware") -> "Why":
    """What bounds the run and what would help, found by re-running with progress shown."""
    from accelsim.report.progress import progress
    from accelsim.why import explained, relaxed

    with progress(sum(1 for _ in relaxed(hardware))) as step:
        return explained(result, network, hardware, step)


def _reasons(
    comparisons: "list[Comparison]", networks: "list[Network]", machines: "list[list[Hardware]]"
) -> "list[Why]":
    """Of each network on each hardware, why it takes its time under the best dataflow."""
    cases = ((network, variants) for variants in machines for network in networks)
    reasons = []
    for comparison, (network, variants) in zip(comparisons, cases, strict=True):
        best = variants[comparison.runs.index(comparison.best)]
        reasons.append(_explained(comparison.best, network, best))
    return reasons


def _checked(network: "Network", hardware: "Hardware", batch: int, seed: int) -> "VerifyResult":
    from accelsim.facade import verify
    from accelsim.network.passes import prepare_for_inference
    from accelsim.report.progress import progress

    with progress(len(prepare_for_inference(network).layers)) as step:
        return verify(
            network, hardware, batch=batch, seed=seed, progress=lambda check: step(check.name)
        )


def _validated(only: list[str], destinations: "Destinations") -> "Validation":
    """The references compared; raises InputError with everything that is wrong."""
    from accelsim.report.progress import progress
    from accelsim.validation.catalog import references, validate

    problems = list(destinations.problems)
    chosen = 0
    with _gathered(problems):
        chosen = len(references(only))
    _raise_if_any(problems)
    with progress(chosen) as step:
        return validate(only, progress=lambda outcome: step(outcome.reference.name))


def _swept(
    resolved: "Sweep",
    path: str,
    jobs: int | None,
    scheduler: str | None,
    retry_failed: bool,
    quiet: bool,
) -> "Summary":
    """What the sweep found; whatever stops it, this says how to go on."""
    import logging

    from accelsim.report.sweep_progress import sweep_progress
    from accelsim.sweep.execute import execute, runner_for
    from accelsim.sweep.stops import stops_interrupt
    from accelsim.sweep.store import Store
    from accelsim.sweep.summary import brief_summary_of

    logging.getLogger("accelsim").setLevel(logging.ERROR if quiet else logging.WARNING)
    runner = runner_for(jobs, scheduler, resolved.timeout_s)
    with stops_interrupt(), Store.open(path, resolved) as store:
        try:
            with sweep_progress(resolved, quiet) as watch:
                execute(resolved, store, runner, watch, retry_failed)
        except (KeyboardInterrupt, TryAgainError):
            stored = len(store.done_keys())
            print(
                f"{stored:,} finished points are safe in {path}; the same command goes on from "
                "there",
                file=sys.stderr,
            )
            raise
        return brief_summary_of(store)


# --- Output ---------------------------------------------------------------------------------------


def _deliver(
    destinations: "Destinations",
    sheets: "Sequence[Sheet]",
    json: Callable[[], str],
    csv: Callable[[], str] | None = None,
) -> None:
    """Write the files that the user asked for; sheets go to standard output if it is free."""
    from accelsim.report.export import STANDARD_OUTPUT, write_file

    for path, text in ((destinations.json, json), (destinations.csv, csv)):
        if path == STANDARD_OUTPUT and text:
            _emit(text())
        elif path is not None and text:
            write_file(path, text())
    if not destinations.on_standard_output:
        _print_sheets(sheets)


def _print_sheets(sheets: "Sequence[Sheet]") -> None:
    from accelsim.report.sheet import rendered

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    _emit(rendered(sheets, width, sys.stdout.encoding))


def _emit(text: str) -> None:
    """Write to standard output at once, so that a reader that has gone is noticed here."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        message = f"cannot be written: {error.strerror}"
        raise InputError(Problem(message, "standard output")) from None


def main() -> None:
    """The entry point `accelsim`."""
    if sys.stdout is None:  # closed by the caller: nobody reads what is printed
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    app(prog_name="accelsim")
