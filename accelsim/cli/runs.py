"""The commands that take one network on one hardware: run and verify."""

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from accelsim.cli.application import CHECK_FAILED
from accelsim.cli.bundles import Files, Machine, Reading, Showing, Step, Work, bundled
from accelsim.cli.inputs import Model, asked, decoded, loaded, told
from accelsim.cli.options import AgainOption, HardwareName, JsonOption, NetworkName, SeedOption
from accelsim.cli.output import deliver, deliver_mapping, deliver_page, hint, is_quiet
from accelsim.cli.reasons import explained_run

if TYPE_CHECKING:
    from accelsim.hardware import Hardware
    from accelsim.network.graph import Network
    from accelsim.report.columns import Shown
    from accelsim.report.export import Destinations
    from accelsim.results import RunResult, VerifyResult
    from accelsim.why import Why


@bundled
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
        typer.Argument(metavar="HARDWARE", help="A built-in accelerator, or a .yaml or .cfg file."),
    ] = None,
    *,
    machine: Machine,
    reading: Reading,
    work: Work,
    step: Step,
    showing: Showing,
    files: Files,
    again: AgainOption = False,
) -> None:
    """Time a network on an accelerator, layer by layer.

    Example: `accelsim run vgg16 edge_ws --dataflow os --set array.rows=64`
    """
    from accelsim.cli.again import others_given, repeat

    if again:
        repeat(network, others_given(context))
        return
    if hardware is None:
        context.fail("Missing argument 'HARDWARE', such as edge_ws.")
    wanted = reading.model(network)
    deliver_run(timed_run(wanted, hardware, machine, work, step, showing, files))


class _Timed(NamedTuple):
    """A run, what else was asked about it, and where it goes."""

    result: "RunResult"
    hardware: "Hardware"
    columns: "tuple[Shown, ...]"
    check: "VerifyResult | None"
    reason: "Why | None"
    files: Files
    destinations: "Destinations"
    shown: bool

    @property
    def data(self) -> dict[str, Any]:
        """The JSON form."""
        data = self.result.as_dict() | ({"verify": self.check.as_dict()} if self.check else {})
        return data | ({"why": self.reason.as_dict()} if self.reason else {})


def timed_run(
    wanted: Model,
    hardware: str,
    machine: Machine,
    work: Work,
    step: Step,
    showing: Showing,
    files: Files,
) -> _Timed:
    """The run with what was asked about it; raises InputError with all that is wrong."""
    from accelsim.facade import simulate
    from accelsim.report.export import Destinations

    read = (wanted.name, hardware, work.mapping or hardware)
    destinations = Destinations(files.json, files.csv, read, files.others)
    columns, given, chip = asked(
        wanted, hardware, machine.settings, machine.dataflow, showing.columns, destinations
    )
    model = step.of(decoded(given, work.decode, work.past))
    result = simulate(
        *(model, chip, None, work.batch),
        trace=files.trace,
        mapping=work.mapping,
        trace_dram=files.trace_dram,
        trace_sram=files.trace_sram,
        tiles=files.report is not None,
    )
    past = {"past": work.past} if work.decode else {}
    return _Timed(
        result=told(result, machine.settings, wanted, **step.said, **past),
        hardware=chip,
        columns=columns,
        check=_checked(model, chip, work, seed=0) if showing.verify else None,
        reason=explained_run(result, model, chip, work.mapping) if showing.why else None,
        files=files,
        destinations=destinations,
        shown=showing.columns is not None or showing.why,
    )


def deliver_run(done: _Timed) -> None:
    """Write and print a run; exit 1 if its values were checked and are wrong."""
    from accelsim.report.export import csv_text, json_text
    from accelsim.report.run import run_sheets
    from accelsim.report.verification import verify_sheets
    from accelsim.report.why import why_sheets

    sheets = run_sheets(done.result, done.hardware, done.columns)
    sheets += verify_sheets(done.check) if done.check else []
    sheets += why_sheets(done.reason) if done.reason else []
    failed = done.check is not None and not done.check.passed
    deliver_page(done.files.report, [done.result])
    deliver_mapping(done.files.save_mapping, done.result)
    deliver(
        done.destinations,
        sheets,
        lambda: json_text(done.data),
        lambda: csv_text([done.result]),
        shown=done.shown or failed,
    )
    if failed:
        raise typer.Exit(CHECK_FAILED)


@bundled
def verify(
    network: NetworkName,
    hardware: HardwareName,
    machine: Machine,
    reading: Reading,
    work: Work,
    step: Step,
    seed: SeedOption = 0,
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
    wanted = reading.model(network)
    model, chip = loaded(
        wanted, hardware, machine.settings, machine.dataflow, destinations.problems
    )
    model = step.of(decoded(model, work.decode, work.past))
    result = _checked(model, chip, work, seed)
    sheets = verify_sheets(result, layers)
    shown = layers or not result.passed
    deliver(destinations, sheets, lambda: json_text(result.as_dict()), shown=shown)
    if not result.passed:
        raise typer.Exit(CHECK_FAILED)


def _checked(network: "Network", hardware: "Hardware", work: Work, seed: int) -> "VerifyResult":
    """The values checked, with progress shown."""
    from accelsim.facade import verify
    from accelsim.report.progress import counted

    if _seconds(network, hardware, work.batch) > _LONG_SECONDS:
        hint(_long(network, hardware, work.batch))
    if _unused(network, hardware):
        hint("weights of the model are real numbers, the formats integers: random codes")
    with counted("layers checked", is_quiet()) as count:
        return verify(network, hardware, None, work.batch, seed, count, work.mapping)


def _unused(network: "Network", hardware: "Hardware") -> bool:
    """Whether a framework's model has no codes for hardware that computes with integers."""
    from accelsim.network.graph import Stored

    stored = network.weights
    integers = hardware.precision.is_integer
    if not isinstance(stored, Stored) or not integers:
        return False
    return bool(stored.opened()) and not stored.codes(True, True)


_LONG_SECONDS = 30
_INTEGERS_PER_SECOND, _FLOATS_PER_SECOND = 10**9, 2 * 10**8
"""Multiply-accumulates on one core, as measured: VGG-16 2.5e9, ResNet-50 and GoogLeNet 1e9 in int8;
AlexNet 1.6e8, GoogLeNet 4e8 in float32."""
_BYTES_PER_VALUE = 5  # a value as it is, and its reference while it is held against it


def _seconds(network: "Network", hardware: "Hardware", batch: int) -> float:
    """What the values take, the search for tiles apart."""
    exact = hardware.precision.is_integer
    return _done(network) * batch / (_INTEGERS_PER_SECOND if exact else _FLOATS_PER_SECOND)


def _done(network: "Network") -> int:
    """Multiply-accumulates for an image, those by inserted zeros too."""
    return network.macs + network.zero_macs


def _long(network: "Network", hardware: "Hardware", batch: int) -> str:
    """What a long check takes, said before it begins."""
    from accelsim.units import format_bytes

    minutes = max(1, round(_seconds(network, hardware, batch) / 60))
    time = f"{minutes:,} minute{'s' if minutes > 1 else ''}"
    values = sum(layer.output_elements for layer in network.layers) * batch
    return (
        f"every value of {batch:,} images is computed, {_done(network) * batch:,} "
        f"multiply-accumulates tile by tile: that takes about {time} on one core, and "
        f"{format_bytes(_BYTES_PER_VALUE * values)} of memory; Ctrl-C stops it"
    )
