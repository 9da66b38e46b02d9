"""What is given to the facade: networks and hardware, by name or path, or as they were loaded."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar, cast

from accelsim.errors import InputError, Problem
from accelsim.frontend import load_network
from accelsim.frontend.findings import unknown
from accelsim.frontend.hardware_file import load_hardware, with_settings
from accelsim.frontend.mapping_file import Forced, Source
from accelsim.hardware import BEST, DATAFLOWS, NO_SPADS, DataflowName, Hardware
from accelsim.network.graph import Network
from accelsim.network.passes import prepare_for_inference

NetworkLike = Network | str | Path
HardwareLike = Hardware | str | Path
MappingLike = Forced | str | Path | Source
Like = TypeVar("Like", NetworkLike, HardwareLike)


def network_of(network: NetworkLike) -> Network:
    """A network itself, or the one of a name or path; raises InputError."""
    return network if isinstance(network, Network) else load_network(network)


def prepared(network: NetworkLike) -> Network:
    """What inference takes of a network: the one door to the passes, for all that comes after."""
    return prepare_for_inference(network_of(network))


def hardware_of(
    hardware: HardwareLike, dataflow: str | None = None, set: Sequence[str] = ()
) -> Hardware:
    """A hardware itself, or the one of a name or path; with settings, and another dataflow."""
    if isinstance(hardware, Hardware):
        machine = with_settings(hardware, set)
    else:
        machine = load_hardware(hardware, set)
    return machine if dataflow is None else with_dataflow(machine, dataflow)


def variants(hardware: Hardware, dataflows: str | Sequence[str] | None) -> list[Hardware]:
    """`hardware` under each of the dataflows, all that it has if none; raises InputError."""
    named = dataflows.split(",") if isinstance(dataflows, str) else dataflows or ()
    flows = dict.fromkeys(flow.strip() for flow in named) if dataflows else hardware.dataflows
    return [with_dataflow(hardware, flow) for flow in flows]


def with_dataflow(hardware: Hardware, dataflow: str) -> Hardware:
    """`hardware` with another dataflow; raises InputError for an unknown one."""
    known = (*DATAFLOWS, BEST)
    if dataflow not in known:
        raise InputError(Problem(message=unknown("dataflow", dataflow, known)))
    if dataflow not in (*hardware.dataflows, BEST):
        raise InputError(Problem(message=NO_SPADS, source=hardware.name, key="array.dataflow"))
    name: DataflowName = next(each for each in known if each == dataflow)
    return hardware.under(name)


def several(given: Like | Sequence[Like]) -> Sequence[Like]:
    """Those given, or the one."""
    alone = isinstance(given, (str, Path, Network, Hardware))
    return cast(Sequence[Like], [given] if alone else given)
