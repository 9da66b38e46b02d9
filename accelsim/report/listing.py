"""What `accelsim list` prints. It stands alone because it must be quick: nothing is lowered."""

from collections.abc import Iterator, Mapping

from accelsim.frontend.sweep_file import SweepFile
from accelsim.hardware import Hardware
from accelsim.network.graph import Network
from accelsim.report.quantities import si
from accelsim.report.sheet import Column, Row, Sheet
from accelsim.technology import EnergyTable

DESCRIPTION = Column("description", prose=True)


def list_sheets(
    networks: Mapping[str, Network],
    hardware: Mapping[str, Hardware],
    tables: Mapping[str, EnergyTable],
    sweeps: Mapping[str, SweepFile],
) -> list[Sheet]:
    """Everything `list` prints, by the names that commands take."""
    return [
        *_networks(networks),
        _hardware(hardware),
        _described("Energy tables, for the key `energy` of hardware", "energy table", tables),
        _described("Sweeps", "sweep", sweeps),
    ]


def _networks(networks: Mapping[str, Network]) -> Iterator[Sheet]:
    """A sheet for each family, that of the smallest network first."""
    columns = (Column("network", text=True), Column("MACs"), Column("parameters"), DESCRIPTION)
    ordered = sorted(networks.items(), key=lambda item: item[1].macs)
    for family in dict.fromkeys(network.family for _, network in ordered):
        rows = (
            Row((name, si(network.macs), si(network.parameters), network.description))
            for name, network in ordered
            if network.family == family
        )
        yield Sheet(
            title=f"Networks: {family}" if family else "Networks", columns=columns, rows=tuple(rows)
        )


def _hardware(hardware: Mapping[str, Hardware]) -> Sheet:
    columns = (Column("hardware", text=True), Column("PEs"), Column("peak MAC/s"), DESCRIPTION)
    rows = (
        Row((name, f"{each.pes:,}", si(each.pes * each.clock), each.description))
        for name, each in hardware.items()
    )
    return Sheet(title="Hardware", columns=columns, rows=tuple(rows))


def _described(title: str, header: str, items: Mapping[str, EnergyTable | SweepFile]) -> Sheet:
    rows = (Row((name, each.description)) for name, each in items.items())
    return Sheet(title=title, columns=(Column(header, text=True), DESCRIPTION), rows=tuple(rows))
