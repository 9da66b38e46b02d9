"""The command `compute`: the values of every layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from accelsim.cli.bundles import Machine, Reading, Step, bundled
from accelsim.cli.inputs import gathered, hardware_named, network_named, raise_if_any
from accelsim.cli.options import JsonOption, NetworkName, SeedOption
from accelsim.cli.output import deliver
from accelsim.errors import InputError, Problem
from accelsim.files import obstacles

if TYPE_CHECKING:
    from accelsim.computing import Values
    from accelsim.hardware import Hardware
    from accelsim.network.graph import Network


@dataclass(frozen=True, slots=True)
class Asked:
    """Which values are computed: of which inputs, how many images, with which random weights."""

    inputs: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="F.npz",
            help="Arrays by input, (N, ...) or (...), or as the model has.",
        ),
    ] = None
    batch: Annotated[
        int | None,
        typer.Option("--batch", metavar="N", min=1, help="Images; if left out all of --input."),
    ] = None
    seed: SeedOption = 0


@dataclass(frozen=True, slots=True)
class Kept:
    """Which ofmaps are printed and written, and where."""

    show: Annotated[
        list[str] | None,
        typer.Option(
            "--show", metavar="LAYER", help="Print its ofmap, or a model's output; repeatable."
        ),
    ] = None
    save: Annotated[
        str | None,
        typer.Option(
            "--save", metavar="F.npz", help="Write the ofmaps of the layers shown, or of all."
        ),
    ] = None
    json: JsonOption = None

    @property
    def layers(self) -> Sequence[str] | None:
        """The layers whose ofmaps are kept; None for all."""
        return None if self.save is not None and not self.show else self.show or ()


@bundled
def compute(
    network: NetworkName,
    hardware: Annotated[
        str | None,
        typer.Argument(help="Whose tiles compute it, in its formats; if left out the reference."),
    ] = None,
    *,
    values: Asked,
    step: Step,
    kept: Kept,
    machine: Machine,
    reading: Reading,
) -> None:
    """Compute the values of every layer: their spread, and whole ofmaps to see or to keep.

    With --train those of a step of training, too; the input `target` is what outputs should be.

    Example: `accelsim compute lenet5 edge_ws --show F6 --save ofmaps.npz`
    """
    from accelsim.report.export import Destinations, json_text
    from accelsim.report.values import values_sheets

    read = (network, *(each for each in (hardware, values.inputs) if each is not None))
    destinations = Destinations(kept.json, None, read, (("--save", kept.save),))
    problems = list(destinations.problems)
    with gathered(problems):
        model = network_named(reading.model(network))
    chip = None
    with gathered(problems):
        chip = _machine(hardware, machine.settings, machine.dataflow)
    raise_if_any(problems)
    found = _computed(step.of(model), chip, values, kept)
    sheets = values_sheets(found, kept.show or ())
    deliver(destinations, sheets, lambda: json_text(found.as_dict()), shown=bool(kept.show))


def _computed(
    network: "Network", machine: "Hardware | None", values: Asked, kept: Kept
) -> "Values":
    """The values, written where the user asked for that."""
    from accelsim.computing import compute as computed

    if kept.save is not None and isinstance(network.weights, Path):
        read = str(network.weights)
        raise_if_any(
            [
                Problem(message=each, source=f"--save {kept.save}")
                for each in obstacles(kept.save, [read])
            ]
        )
    found = computed(network, machine, None, values.inputs, values.batch, values.seed, kept.layers)
    if kept.save is not None:
        found.save(kept.save)
    return found


def _machine(
    hardware: str | None, settings: list[str] | None, dataflow: str | None
) -> "Hardware | None":
    """The hardware, if one is named; settings of none are a mistake."""
    if hardware is not None:
        return hardware_named(hardware, settings, dataflow)
    if settings or dataflow:
        message = "belongs to a hardware; name one, such as edge_ws"
        raise InputError(Problem(message=message, source="--set" if settings else "--dataflow"))
    return None
