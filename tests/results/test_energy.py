"""Energy of a run: by hand, and its sums."""

from dataclasses import fields

import pytest
from drawing import any_tilings, drawn
from hypothesis import given
from machines import MACHINES, chain, machine, max_pool, networks
from oracles.dram_sheets import SHEETS, changed
from pydantic import ValidationError

from accelsim.facade import simulate
from accelsim.frontend.energy_file import load_energy_table
from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import Hardware
from accelsim.lowering.energy import Activity, energy_rates
from accelsim.lowering.traffic import Dram, Inside, Sram
from accelsim.network.graph import Network
from accelsim.network.ops import Conv
from accelsim.results import Energy
from accelsim.technology import EnergyTable

ROUND = EnergyTable.model_validate(
    {
        "name": "round",
        "unit_pj": 2,
        "multiply": {"integer": {8: 3}},
        "add": {"integer": {32: 1}},
        "register_file": {"bits": 8, "energy": 100},
        "pipeline_register": {"bits": 8, "energy": 0.5},
        "network": {"bits": 8, "energy": 100},
        "hop": {"bits": 8, "energy": 0.25},
        "sram": {"bits": 8, "energy": {"1 KiB": 4}},
        "dram": {"bits": 8, "energy": 50},
    }
)


def with_table(hardware: Hardware, table: EnergyTable = ROUND) -> Hardware:
    return hardware.model_copy(update={"energy": table})


def test_a_convolution_by_hand() -> None:
    """The run of `test_every_number_of_a_tiny_run`: 96 MACs in two folds of 4 x 3 PEs and 4 steps.

    MAC: 2 * (3 + 1) = 8 pJ. Inside (laws proved in test_inside): 384 accesses of bytes at 1 pJ and
    192 of psums at 4; 100 hops of bytes at 0.5 and 72 of psums at 2. Buffers of 1 KiB: 8 pJ per
    byte; ifmap 32 words out and 15 bytes in, filter 24 and 24, psums 12 out and in of 4 bytes,
    ofmap 12 in and 12 out. DRAM: 15 + 24 + 12 bytes at 100.
    """
    network = chain((1, 5, 3), Conv(out_channels=3, kernel=(4, 2)))
    fast = machine(dram={"bandwidth": "1 KiB/cycle"})
    (layer,) = simulate(network, with_table(fast)).layers
    assert layer.inside == Inside(576, 172, 192, 72)
    assert layer.energy == Energy(
        mac=96 * 8,
        register_file=384 * 1 + 192 * 4,
        network=100 * 0.5 + 72 * 2,
        buffers={"ifmap": 47 * 8, "filter": 48 * 8, "ofmap": (96 + 24) * 8},
        dram=51 * 100,
    )
    assert layer.energy.total == 768 + 1152 + 194 + 1720 + 5100
    assert layer.energy.per_mac(layer.macs) == 8934 / 96


def test_a_pool_by_hand() -> None:
    """2x2 maximum of 2x2: 4 operations, additions of 8 bits at 2 * 1/4 pJ; ifmap 4 B, ofmap 1 B."""
    (layer,) = simulate(chain((1, 2, 2), max_pool(2)), with_table(machine())).layers
    assert layer.energy == Energy(
        vector=4 * 0.5, buffers={"ifmap": 8 * 8, "filter": 0, "ofmap": 2 * 8}, dram=5 * 100
    )
    assert layer.energy.per_mac(layer.macs) is None


def test_rates_by_width_and_size() -> None:
    """int16 on a unified 4 KiB buffer: twice the bits, twice the root of the size."""
    buffers = {"all": {"holds": ["ifmap", "filter", "psum", "ofmap"], "size": "4 KiB"}}
    wide = machine(buffers).model_copy(
        update={
            "precision": load_hardware("eyeriss", ["precision.psum=int32"]).precision,
            "energy": ROUND,
        }
    )
    rates = energy_rates(wide)
    assert rates is not None
    assert rates.mac == pytest.approx(2 * (3 * 4 + 1))  # four times the multiplier's cells
    assert (rates.register, rates.psum_register) == (2, 4)
    done = Activity(sram=Sram(ifmap_reads=1, psum_writes=1), dram=Dram(ofmap_write_bytes=2))
    assert rates.energy(done).buffers == {"all": pytest.approx((2 + 4 + 2) * 16)}
    assert rates.energy(done).dram == 200


def test_other_dataflows_have_register_files_and_a_network() -> None:
    """Only os, ws and is are systolic: 8 bits of `register_file` are 200 pJ, of `network` 200."""
    chip = with_table(machine())
    scratch_pads = chip.array.model_copy(update={"dataflow": "rs"})
    rates = energy_rates(chip.model_copy(update={"array": scratch_pads}))
    assert rates is not None
    assert (rates.register, rates.psum_register) == (200, 800)
    assert (rates.hop, rates.psum_hop) == (200, 800)


def test_energy_adds_up_by_component() -> None:
    one, other = Energy(1, 2, 3, 4, {"a": 5, "b": 6}, 7), Energy(10, buffers={"b": 1, "c": 2})
    assert one + other == Energy(11, 2, 3, 4, {"a": 5, "b": 7, "c": 2}, 7)
    assert (one.total, one.all_buffers) == (28, 11)


simulated_somehow = any_tilings(simulate)


@given(networks(), MACHINES)
@drawn(40, percent=8)
def test_totals_are_the_sums_over_layers(network: Network, hardware: Hardware) -> None:
    from accelsim.errors import DoesNotFitError

    try:
        result = simulated_somehow(network, with_table(hardware))
    except DoesNotFitError:
        return
    whole = result.energy
    assert whole is not None
    layers = [layer.energy for layer in result.layers if layer.energy]
    assert len(layers) == len(result.layers)
    for part in fields(Energy):
        if part.name not in ("buffers", "dram_parts"):
            total = sum(getattr(energy, part.name) for energy in layers)
            assert getattr(whole, part.name) == pytest.approx(total)
    assert whole.total == pytest.approx(sum(energy.total for energy in layers))
    assert whole.mac == pytest.approx(8 * result.macs)
    assert whole.dram == pytest.approx(100 * result.dram.total_bytes)
    assert set(whole.buffers) == set(hardware.buffers)


# --- DRAM by its currents -------------------------------------------------------------------------


def test_costs_of_ddr4_by_hand() -> None:
    """1.2 V, 8 devices, 0.833 ns: 7.9968 pJ a mA and clock.

    A row: 48 mA x 55 - 43 x 39 - 34 x 16 = 419; a read: (135 - 43) x 4; a write: (123 - 43) x 4; a
    refresh: (250 - 34) x 433. Standby: 43 mA x 1.2 V x 8.
    """
    costs = SHEETS["DDR4-2400"].costs
    assert costs is not None
    assert costs.activate == pytest.approx(419 * 7.9968)
    assert costs.read == pytest.approx(368 * 7.9968)
    assert costs.write == pytest.approx(320 * 7.9968)
    assert costs.refresh == pytest.approx(216 * 433 * 7.9968)
    assert costs.standby_watts == pytest.approx(0.4128)
    assert SHEETS["DDR4-2400"].idle_watts == pytest.approx(
        0.4128 + 216 * 433 * 7.9968e-12 / (9364 * 0.833e-9)
    )


def test_costs_of_hbm2_by_hand() -> None:
    """A burst is 256 bits: 2.68 pJ each on the die, 0.8 between the dies."""
    sheet = SHEETS["HBM2"]
    assert sheet.costs is not None
    assert sheet.costs.activate == 909
    assert sheet.costs.read == sheet.costs.write == pytest.approx(256 * 2.68)
    assert sheet.costs.read_io == sheet.costs.write_io == pytest.approx(256 * 0.8)
    assert sheet.costs.refresh is sheet.costs.standby_watts is sheet.idle_watts is None


def test_what_is_unknown_is_absent() -> None:
    assert SHEETS["LPDDR5-6400"].costs is SHEETS["LPDDR5-6400"].idle_watts is None
    assert SHEETS["DDR4-2400"].costs is not None
    assert SHEETS["DDR4-2400"].costs.read_io is None


def test_costs_of_lpddr4_by_hand() -> None:
    """One device, 0.625 ns, of 1.1 V (0.6875 pJ a mA and clock) and 1.8 V (1.125 pJ).

    A row: 45 x 97 - 30 x 68 - 27 x 29 = 1,542 and 3.5 x 97 - 2.25 x 68 - 2 x 29 = 128.5; a refresh:
    63 x 448 and 8 x 448. The lines of a burst: 149.25 x 8 read, 54.25 x 8 written.
    """
    costs = SHEETS["LPDDR4-3200"].costs
    assert costs is not None
    assert costs.activate == pytest.approx(1542 * 0.6875 + 128.5 * 1.125)
    assert costs.read == pytest.approx(245 * 8 * 0.6875)
    assert costs.write == pytest.approx(180 * 8 * 0.6875)
    assert costs.refresh == pytest.approx(448 * (63 * 0.6875 + 8 * 1.125))
    assert costs.read_io == pytest.approx(149.25 * 8 * 0.6875)
    assert costs.write_io == pytest.approx(54.25 * 8 * 0.6875)
    assert costs.standby_watts == pytest.approx(1e-3 * (30 * 1.1 + 2.25 * 1.8 + 0.75 * 1.1))


def test_lines_are_read_and_written_at_their_own_costs() -> None:
    network = chain((4, 32, 32), Conv(out_channels=4, kernel=(1, 1), bias=False))
    (layer,) = simulate(network, on_dram("LPDDR4-3200")).layers
    assert layer.energy is not None
    reads, writes = 4 * 32 * 32 // 32 + 1, 4 * 32 * 32 // 32
    lines = 8 * 0.6875 * (reads * 149.25 + writes * 54.25)
    assert layer.energy.dram_parts["io"] == pytest.approx(lines)


def test_currents_or_energies() -> None:
    energies = SHEETS["HBM2"].energies
    with pytest.raises(ValidationError, match="not both"):
        changed("DDR4-2400", energies=energies)


def on_dram(name: str, table: EnergyTable = ROUND) -> Hardware:
    return with_table(load_hardware("edge_ws", (f"dram.timing={name}",)), table)


def test_commands_take_the_place_of_bytes() -> None:
    """Every byte is in a burst of 64, and a row is opened for many."""
    (layer,) = simulate(
        chain((16, 32, 32), Conv(out_channels=16, kernel=(3, 3))), on_dram("DDR4-2400")
    ).layers
    energy, costs = layer.energy, SHEETS["DDR4-2400"].costs
    assert energy is not None
    assert costs is not None
    assert energy.dram == pytest.approx(sum(energy.dram_parts.values()))
    assert energy.dram_parts["read"] >= layer.dram.read_bytes / 64 * costs.read
    assert energy.dram_parts["write"] >= layer.dram.write_bytes / 64 * costs.write
    bursts = (layer.dram.read_bytes + layer.dram.write_bytes) / 64
    assert 0 < energy.dram_parts["activate"] < bursts * costs.activate
    assert energy.as_dict()["dram_parts"] == energy.dram_parts


def test_published_energies_take_the_place_of_bytes() -> None:
    """4 KiB of ifmap and 4 KiB of ofmap in bursts of 32 B, and filters; I/O for all of them."""
    network = chain((4, 32, 32), Conv(out_channels=4, kernel=(1, 1), bias=False))
    (layer,) = simulate(network, on_dram("HBM2")).layers
    assert layer.energy is not None
    assert layer.dram.ofmap_write_bytes == 4 * 32 * 32
    reads = 4 * 32 * 32 // 32 + 1
    parts = layer.energy.dram_parts
    assert parts["read"] == pytest.approx(reads * 256 * 2.68)
    assert parts["write"] == pytest.approx(128 * 256 * 2.68)
    assert parts["io"] == pytest.approx((reads + 128) * 256 * 0.8)
    assert layer.energy.dram == pytest.approx(sum(parts.values()))


def test_a_sheet_without_currents_costs_bytes() -> None:
    network = chain((16, 32, 32), Conv(out_channels=16, kernel=(3, 3)))
    (layer,) = simulate(network, on_dram("LPDDR5-6400")).layers
    assert layer.energy is not None
    assert layer.energy.dram == 100 * layer.dram.total_bytes
    assert layer.energy.dram_parts == {}


def test_without_a_table_there_is_no_energy() -> None:
    result = simulate("lenet5", "edge_ws")
    assert result.energy is None
    data = result.as_dict()
    for part in (data["totals"], *data["layers"]):
        assert not [key for key in part if "energy" in key]


def test_json_form() -> None:
    hardware = with_table(load_hardware("edge_ws"), load_energy_table("horowitz_45nm"))
    data = simulate("lenet5", hardware).as_dict()
    for part in (data["totals"], *data["layers"]):
        components = dict(part["energy"])
        buffers = components.pop("buffers")
        assert set(buffers) == {"ifmap_sram", "filter_sram", "ofmap_sram"}
        assert part["energy_pj"] == pytest.approx(sum(components.values()) + sum(buffers.values()))
        macs = part["macs"]
        assert part["energy_pj_per_mac"] == (part["energy_pj"] / macs if macs else None)


@pytest.mark.parametrize(
    "dataflow", ["os", *(pytest.param(each, marks=pytest.mark.slow) for each in ("ws", "is"))]
)
def test_int8_at_45_nm_takes_a_few_picojoules_per_mac(dataflow: str) -> None:
    """VGG-16: 0.3 pJ for the MAC itself, one or two to move words on the chip, and DRAM most."""
    hardware = with_table(load_hardware("edge_ws"), load_energy_table("horowitz_45nm"))
    result = simulate("vgg16", hardware, dataflow)
    energy = result.energy
    assert energy is not None
    assert energy.mac / result.macs == pytest.approx(0.3)
    on_chip = (energy.total - energy.dram) / result.macs
    assert 1 < on_chip < 4
    assert 0.5 < energy.dram / energy.total < 0.8
