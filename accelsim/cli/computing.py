"""The command `compute`: the values of every layer."""

from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli.inputs import Model, gathered, hardware_named, network_named, raise_if_any
from accelsim.cli.options import (
    DataflowOption,
    DimOption,
    JsonOption,
    NetworkName,
    OutputsOption,
    SeedOption,
    SetOption,
    TrainOption,
)
from accelsim.cli.output import deliver
from accelsim.cli.training import LossOption
from accelsim.errors import InputError, Problem

if TYPE_CHECKING:
    from accelsim.hardware import Hardware


def compute(
    network: NetworkName,
    hardware: Annotated[
        str | None,
        typer.Argument(help="Whose tiles compute it, in its formats; if left out the reference."),
    ] = None,
    inputs: Annotated[
        str | None,
        typer.Option("--input", metavar="F.npz", help="Arrays by input, (N, ...) or (...)."),
    ] = None,
    show: Annotated[
        list[str] | None,
        typer.Option("--show", metavar="LAYER", help="Print this layer's ofmap; repeatable."),
    ] = None,
    save: Annotated[
        str | None,
        typer.Option(
            "--save", metavar="F.npz", help="Write the ofmaps of the layers shown, or of all."
        ),
    ] = None,
    dataflow: DataflowOption = None,
    batch: Annotated[
        int | None,
        typer.Option("--batch", metavar="N", min=1, help="Images; if left out all of --input."),
    ] = None,
    seed: SeedOption = 0,
    train: TrainOption = False,
    loss: LossOption = "cross_entropy",
    settings: SetOption = None,
    dim: DimOption = None,
    outputs: OutputsOption = None,
    json: JsonOption = None,
) -> None:
    """Compute the values of every layer: their spread, and whole ofmaps to see or to keep.

    With --train those of a step of training, too; the input `target` is what outputs should be.

    Example: `accelsim compute lenet5 edge_ws --show F6 --save ofmaps.npz`
    """
    from accelsim.computing import compute as computed
    from accelsim.network.backward import training_step
    from accelsim.report.export import Destinations, json_text
    from accelsim.report.values import values_sheets

    read = (network, *(each for each in (hardware, inputs) if each is not None))
    destinations = Destinations(json, None, read, (("--save", save),))
    problems = list(destinations.problems)
    with gathered(problems):
        model = network_named(Model(network, dim, outputs))
    machine = None
    with gathered(problems):
        machine = _machine(hardware, settings, dataflow)
    raise_if_any(problems)
    model = training_step(model, loss) if train else model
    kept = None if save is not None and not show else show or ()
    values = computed(model, machine, None, inputs, batch, seed, kept)
    if save is not None:
        values.save(save)
    sheets = values_sheets(values, show or ())
    deliver(destinations, sheets, lambda: json_text(values.as_dict()), shown=bool(show))


def _machine(
    hardware: str | None, settings: list[str] | None, dataflow: str | None
) -> "Hardware | None":
    """The hardware, if one is named; settings of none are a mistake."""
    if hardware is not None:
        return hardware_named(hardware, settings, dataflow)
    if settings or dataflow:
        message = "belongs to a hardware; name one, such as edge_ws"
        raise InputError(Problem(message, "--set" if settings else "--dataflow"))
    return None
