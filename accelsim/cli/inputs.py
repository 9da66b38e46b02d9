"""From what the user names to networks and hardware; all that is wrong is told at once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from accelsim.cli.output import hint
from accelsim.errors import InputError, Problem
from accelsim.text import shown

if TYPE_CHECKING:
    from accelsim.hardware import Hardware
    from accelsim.network.graph import Network
    from accelsim.report.columns import Shown
    from accelsim.report.export import Destinations
    from accelsim.results import RunResult

    Cases = tuple[list[Network], list[Hardware], list["Model"]]


_MOST_DIGITS = 9


@contextmanager
def gathered(problems: list[Problem]) -> Iterator[None]:
    """Note what is wrong and go on, so that all problems can be told at once."""
    try:
        yield
    except InputError as error:
        problems += error.problems


def raise_if_any(problems: Sequence[Problem]) -> None:
    if problems:
        raise InputError(problems)


class Model(NamedTuple):
    """A network as it was asked for; sizes and outputs are of .onnx files."""

    name: str
    dims: list[str] | None = None
    outputs: list[str] | None = None
    unsupported: str = "refuse"


def loaded(
    network: Model,
    hardware: str,
    settings: list[str] | None,
    dataflow: str | None,
    known: Sequence[Problem],
) -> "tuple[Network, Hardware]":
    """A network and a hardware; raises InputError with all problems, those `known` already too."""
    problems = list(known)
    with gathered(problems):
        model = network_named(network)
    with gathered(problems):
        machine = hardware_named(hardware, settings, dataflow)
    raise_if_any(problems)
    return model, machine


class Timed(NamedTuple):
    """What a command that times one network on one hardware was asked for."""

    shown: "tuple[Shown, ...]"
    network: "Network"
    hardware: "Hardware"


def asked(
    network: Model,
    hardware: str,
    settings: list[str] | None,
    dataflow: str | None,
    columns: str | None,
    destinations: "Destinations",
) -> Timed:
    """All that is needed before anything is timed; raises InputError with all problems."""
    from accelsim.report.columns import RUN_COLUMNS, refuse_energy_without_table, shown_columns

    problems = list(destinations.problems)
    with gathered(problems):
        shown = shown_columns(columns, RUN_COLUMNS)
    model, machine = loaded(network, hardware, settings, dataflow, problems)
    refuse_energy_without_table(shown, [machine])
    return Timed(shown, model, machine)


def network_named(model: Model) -> "Network":
    from accelsim.frontend import load_network
    from accelsim.frontend.kind import kind_of
    from accelsim.report.tell import tell

    if kind_of(model.name) == "hardware":
        raise InputError(
            Problem(message="is hardware, but a network is expected here", source=model.name)
        )
    free = model.unsupported == "free"
    network = load_network(model.name, sizes(model.dims or ()), model.outputs or (), free)
    if free:
        tell(f"hint: {network.name}: {network.description}")
    return network


def sizes(given: Sequence[str]) -> dict[str, int]:
    """Sizes by the names of axes, from NAME=N; raises InputError."""
    sizes = {}
    for text in given:
        name, equals, size = text.rpartition("=")
        if not equals or not name or not size.isascii() or not size.isdigit():
            raise InputError(
                Problem(message=f"expected NAME=N, found {shown(text)}", source="--dim")
            )
        if len(size) > _MOST_DIGITS:
            raise InputError(Problem(message=f"{name} must be a number below 10^9", source="--dim"))
        sizes[name] = int(size)
    return sizes


def decoded(network: "Network", decode: bool, past: int | None) -> "Network":
    """The network, or what makes one token of it behind `past` ones; raises InputError."""
    if not decode and past is None:
        return network
    if not decode or past is None:
        needs, given = ("--decode", "--past") if past is not None else ("--past N", "--decode")
        raise InputError(Problem(message=f"needs {needs}, too", source=given))
    from accelsim.network.decoding import decoding_step

    return decoding_step(network, past)


def memory_size(text: str) -> int:
    """Bytes of a size such as `12 GiB`; raises InputError."""
    from accelsim.units import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise InputError(Problem(message=str(error), key="--memory")) from None


def hardware_named(
    name: str, settings: list[str] | None, dataflow: str | None = None
) -> "Hardware":
    """The hardware with settings, and with another dataflow if one is given."""
    from accelsim.frontend.hardware_file import SCALESIM, load_hardware
    from accelsim.frontend.kind import kind_of
    from accelsim.frontend.scalesim_cfg import unheeded
    from accelsim.given import with_dataflow

    if kind_of(name) == "network":
        raise InputError(
            Problem(message="is a network, but hardware is expected here", source=name)
        )
    hardware = load_hardware(name, settings or ())
    if Path(name).suffix.lower() == SCALESIM:
        for note in unheeded(Path(name)):
            hint(f"{name}: {note}")
    return hardware if dataflow is None else with_dataflow(hardware, dataflow)


def cases(
    models: Sequence[Model],
    hardware: list[str],
    settings: list[str] | None,
    dataflows: str | None,
    known: Sequence[Problem],
) -> "Cases":
    """The networks to compare, the hardware, which has every one of the dataflows, and the models.

    The latter are what was asked for, one for each network.

    Raises InputError with all problems, those `known` already too.
    """
    from accelsim.given import variants

    problems = list(known)
    by_name = {model.name: model for model in models}
    network_names, machine_names = _by_kind(list(by_name), hardware, problems)
    networks: list[Network] = []
    machines: list[Hardware] = []
    for name in network_names:
        with gathered(problems):
            networks.append(network_named(by_name[name]))
    for name in machine_names:
        with gathered(problems):
            machines.append(hardware_named(name, settings))
            variants(machines[-1], dataflows)
    raise_if_any(problems)
    return networks, machines, [by_name[name] for name in network_names]


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
        with gathered(problems):
            (machines if expect_kind(name) == "hardware" else networks).append(name)
    if not machines:
        problems.append(
            Problem(message="give at least one, such as --hardware edge_ws", source="--hardware")
        )
    if not networks and len(problems) == before:
        problems.append(
            Problem(message="name at least one network, such as vgg16", source="NETWORK...")
        )
    return list(dict.fromkeys(networks)), list(dict.fromkeys(machines))


def told(
    run: "RunResult", settings: Sequence[str] | None, model: Model | None = None, **asked: Any
) -> "RunResult":
    """A run that says which settings its hardware was given, and how its network was asked for."""
    from dataclasses import replace

    assert run.origin is not None
    if model is not None:
        named = {"network": model.name, "dims": model.dims, "outputs": model.outputs}
        asked |= {key: value for key, value in named.items() if value}
        asked |= {"unsupported": "free"} if model.unsupported == "free" else {}
    origin = replace(
        run.origin, settings=tuple(settings or ()), asked={**run.origin.asked, **asked}
    )
    return replace(run, origin=origin)
