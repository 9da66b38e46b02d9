"""What `accelsim list` prints. It stands alone because it must be quick: nothing is lowered."""

from collections.abc import Mapping

from accelsim.frontend.sweep_file import SweepFile
from accelsim.hardware import Hardware
from accelsim.network.graph import Network
from accelsim.report.quantities import si
from accelsim.report.sheet import Column, Row, Sheet
from accelsim.technology import EnergyTable


def list_sheets(
    networks: Mapping[str, Network],
    hardware: Mapping[str, Hardware],
    tables: Mapping[str, EnergyTable],
    sweeps: Mapping[str, SweepFile],
) -> list[Sheet]:
    """Everything `list` prints, by the names that commands take."""
    network_columns = (
        Column("network", text=True),
        Column("MACs"),
        Column("parameters"),
        Column("description", prose=True),
    )
    hardware_columns = (
        Column("hardware", text=True),
        Column("PEs"),
        Column("peak MAC/s"),
        Column("description", prose=True),
    )
    ordered = sorted(networks.items(), key=lambda item: item[1].macs)
    families = dict.fromkeys(network.family for _, network in ordered)
    network_sheets = [
        Sheet(
            f"Networks: {family}" if family else "Networks",
            network_columns,
            tuple(
                Row((name, si(network.macs), si(network.parameters), network.description))
                for name, network in ordered
                if network.family == family
            ),
        )
        for family in families
    ]
    hardware_rows = (
        Row((name, f"{each.pes:,}", si(each.pes * each.clock), each.description))
        for name, each in hardware.items()
    )
    table_columns = (Column("energy table", text=True), Column("description", prose=True))
    table_rows = (Row((name, each.description)) for name, each in tables.items())
    sweep_columns = (Column("sweep", text=True), Column("description", prose=True))
    sweep_rows = (Row((name, each.description)) for name, each in sweeps.items())
    return [
        *network_sheets,
        Sheet("Hardware", hardware_columns, tuple(hardware_rows)),
        Sheet("Energy tables, for the key `energy` of hardware", table_columns, tuple(table_rows)),
        Sheet("Sweeps", sweep_columns, tuple(sweep_rows)),
    ]
