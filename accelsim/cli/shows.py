"""The commands that only tell: show, list, schema."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from accelsim.cli.bundles import Machine, Reading, Step, Work, bundled
from accelsim.cli.inputs import (
    Model,
    decoded,
    gathered,
    loaded,
    memory_size,
    network_named,
    raise_if_any,
)
from accelsim.cli.options import (
    BatchOption,
    HardwareName,
    JsonOption,
    NetworkName,
)
from accelsim.cli.output import deliver, deliver_sweep_page, emit, print_sheets
from accelsim.errors import Problem

if TYPE_CHECKING:
    from accelsim.frontend.source import Data
    from accelsim.network.graph import Network
    from accelsim.report.sheet import Sheet


@bundled
def show(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A built-in name, or a file of any kind."),
    ],
    step: Step,
    reading: Reading,
    batch: BatchOption = 1,
    memory: Annotated[
        str | None,
        typer.Option("--memory", metavar="SIZE", help="With --train: the largest batch in it."),
    ] = None,
    yaml: Annotated[bool, typer.Option("--yaml", help="Print the file itself, to copy.")] = False,
    json: JsonOption = None,
) -> None:
    """Show what a network is made of, or every setting of an accelerator and what follows.

    With --train the memory that a step of training takes.
    Of energy tables, sweeps and DRAM's data sheets, built in or by path, what they say.

    Example: `accelsim show googlenet`
    """
    from accelsim.frontend.copies import file_text
    from accelsim.frontend.kind import other_kind
    from accelsim.report.description import file_dict, file_sheet
    from accelsim.report.export import Destinations, json_text

    destinations = Destinations(json, None, (name,))
    raise_if_any([*destinations.problems, *_of_training(step, batch, memory)])
    if yaml:
        emit(file_text(name))
        return
    other = other_kind(name)
    if other is not None and not step.train:
        kind, path = other
        said = _checked(kind, path)
        sheets, data = [file_sheet(f"{name}: {kind}", said)], file_dict(kind, said)
    else:
        model = reading.model(name)
        told = _training(model, batch, step, memory) if step.train else _described(model)
        sheets, data = told
    deliver(destinations, sheets, lambda: json_text(data))


Told: TypeAlias = "tuple[list[Sheet], dict[str, Any]]"
"""What is shown, and the same as data."""


def _of_training(step: Step, batch: int, memory: str | None) -> Iterator[Problem]:
    """Options of training without `--train`."""
    asked = {"--batch": batch > 1, "--memory": memory is not None}
    for option in () if step.train else (*step.beyond, *(key for key in asked if asked[key])):
        yield Problem(message="is of a step of training; give --train, too", source=option)


def _training(asked: Model, batch: int, step: Step, memory: str | None) -> Told:
    """The memory that training takes, and the largest batch within a limit."""
    from accelsim.report.training import memory_sheets, training_memory

    found = training_memory(network_named(asked), batch, **step.said["training"])
    limit = None if memory is None else memory_size(memory)
    return memory_sheets(found, limit), found.as_dict(limit)


def _described(asked: Model) -> Told:
    """What a network, or an accelerator, is made of."""
    from accelsim.frontend.hardware_file import load_hardware
    from accelsim.frontend.kind import expect_kind
    from accelsim.report import description

    if expect_kind(asked.name, every=True) == "network":
        network = _covered(asked)
        return description.network_sheets(network), description.network_dict(network)
    hardware = load_hardware(asked.name)
    return description.hardware_sheets(hardware), description.hardware_dict(hardware)


def _checked(kind: str, path: Path) -> "dict[str, Data]":
    """What a file of another kind says; InputError with all that is wrong with it."""
    from accelsim.frontend.dram_sheet import sheet_in_file
    from accelsim.frontend.energy_file import energy_table
    from accelsim.frontend.source import read_yaml
    from accelsim.frontend.sweep_file import load_sweep

    if kind == "DRAM data sheet":
        return sheet_in_file(path)
    if kind == "energy table":
        return energy_table(str(path), Path())
    load_sweep(path)
    return read_yaml(path).data


def _covered(model: Model) -> "Network":
    """A network; what of an .onnx file cannot be simulated is shown before that is an error."""
    from accelsim.errors import UncoveredError
    from accelsim.report.description import coverage_sheet

    try:
        return network_named(model)
    except UncoveredError as error:
        print_sheets([coverage_sheet(error.rows)])
        raise


@bundled
def explain(
    network: NetworkName,
    hardware: HardwareName,
    layer: Annotated[str, typer.Argument(metavar="LAYER", help="A layer of the network.")],
    machine: Machine,
    reading: Reading,
    work: Work,
    step: Step,
    json: JsonOption = None,
) -> None:
    """Show how a layer runs: its tiles and loops, what moves, and what else it could do.

    With --mapping also what the search takes in place of what that forces on the layer.

    Example: `accelsim explain vgg16 edge_ws conv3_1`
    """
    from accelsim.explanation import explain as explained
    from accelsim.report.explanation import explanation_sheets
    from accelsim.report.export import Destinations, json_text

    destinations = Destinations(json, None, (network, hardware, work.mapping or hardware))
    wanted = reading.model(network)
    model, chip = loaded(
        wanted, hardware, machine.settings, machine.dataflow, destinations.problems
    )
    model = step.of(decoded(model, work.decode, work.past))
    told = explained(model, chip, layer, batch=work.batch, mapping=work.mapping)
    deliver(destinations, explanation_sheets(told), lambda: json_text(told.as_dict()))


def report(
    results: Annotated[
        list[str],
        typer.Argument(metavar="RESULT...", help="Of run, compare or train --json, or of a sweep."),
    ],
    output: Annotated[str, typer.Option("-o", "--output", metavar="F", help="The page, .html.")],
    tiles: Annotated[
        bool, typer.Option(help="Play runs again, for timelines that zoom to a tile.")
    ] = True,
) -> None:
    """Write a page of saved results: tables and pictures, in one file that needs nothing else.

    Example: `accelsim report before.json after.json -o report.html`
    """
    from accelsim.cli.again import tiles_of
    from accelsim.files import write_file
    from accelsim.report.export import Destinations
    from accelsim.report.page.recorded import read_runs
    from accelsim.report.page.whole import page
    from accelsim.sweep.results_file import is_results_file
    from accelsim.sweep.summary import load_results

    problems = Destinations(inputs=tuple(results), files=(("-o", output),)).problems
    sweeps = [each for each in results if Path(each).is_file() and is_results_file(Path(each))]
    if sweeps and len(results) == 1:
        raise_if_any(problems)
        deliver_sweep_page(output, load_results(results[0]))
        return
    alone = "is a sweep's results, which have a page of their own; give this file alone"
    raise_if_any(
        [*problems, *(Problem(message=alone, source=each) for each in dict.fromkeys(sweeps))]
    )
    with gathered(problems):
        runs = read_runs(results)
    raise_if_any(problems)
    write_file(
        output, page(runs, [tiles_of(each.network, each) if tiles else None for each in runs])
    )


def plot(
    kind: Annotated[
        Literal["roofline", "layers", "timeline", "pareto", "heatmap"],
        typer.Argument(
            metavar="roofline|layers|timeline|pareto|heatmap",
            help="What to draw of a run, or of a sweep (the last two).",
        ),
    ],
    result: Annotated[
        str, typer.Argument(metavar="RESULT", help="What run --json wrote, or a sweep's results.")
    ],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="F", help="The figure: .svg, .pdf or .png.")
    ],
    axis: Annotated[
        list[str] | None,
        typer.Option(
            "--axis",
            metavar="NAME",
            help="Of a sweep: what is across, then up; an objective colours a heat map.",
        ),
    ] = None,
) -> None:
    """Draw a figure for a paper's column, of the first run of a saved result; needs matplotlib.

    Example: `accelsim plot roofline result.json -o roofline.pdf`
    """
    from accelsim.report.export import Destinations
    from accelsim.report.page.recorded import read_runs
    from accelsim.report.plot import write_plot
    from accelsim.report.sweep_plot import SWEEP_KINDS, write_sweep_plot
    from accelsim.sweep.summary import load_results

    problems = Destinations(inputs=(result,), files=(("-o", output),)).problems
    if kind in SWEEP_KINDS:
        raise_if_any(problems)
        write_sweep_plot(kind, load_results(result), output, axis or ())
        return
    with gathered(problems):
        runs = read_runs([result])
    raise_if_any(problems)
    write_plot(kind, runs, output)


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
    print_sheets(list_sheets(networks, hardware, tables, sweeps))


def schema(
    kind: Annotated[
        Literal["network", "hardware", "mapping", "sweep", "energy", "dram"],
        typer.Argument(
            metavar="network|hardware|mapping|sweep|energy|dram", help="The kind of file."
        ),
    ],
) -> None:
    """Print the JSON schema of a kind of files, for editors that check YAML."""
    from accelsim.dram.sheet import DramTiming
    from accelsim.frontend.mapping_file import mapping_schema
    from accelsim.frontend.network_file import network_schema
    from accelsim.frontend.sweep_file import SweepFile
    from accelsim.hardware import Hardware
    from accelsim.report.export import json_text
    from accelsim.technology import EnergyTable

    schemas: dict[str, Callable[[], dict[str, Any]]] = {
        "network": network_schema,
        "hardware": Hardware.model_json_schema,
        "mapping": mapping_schema,
        "sweep": SweepFile.model_json_schema,
        "energy": EnergyTable.model_json_schema,
        "dram": DramTiming.model_json_schema,
    }
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    emit(json_text(dialect | schemas[kind]()))
