"""Where the cycles of a layer go, what bounds it, and how much of them is its own work."""

from dataclasses import replace
from itertools import starmap

import pytest
from drawing import drawn
from hypothesis import given
from machines import MACHINES, networks

from accelsim.errors import DoesNotFitError
from accelsim.facade import simulate
from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import Hardware
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import ConvTranspose
from accelsim.results import layer_record
from accelsim.results.blocks import by_block
from accelsim.results.comparison import Comparison


@given(networks(), MACHINES)
@drawn(60, percent=5)
def test_busy_cycles_are_the_span_without_its_waits(network: Network, hardware: Hardware) -> None:
    """Of the core that finishes last; what waits for DRAM or for others is not the layer's own.

    What costs nothing is bound by nothing.
    """
    try:
        result = simulate(network, hardware)
    except DoesNotFitError:
        return
    for layer in result.layers:
        free = (layer.busy_cycles, layer.dram.total_bytes, layer.tiles) == (0, 0, 0)
        assert (layer.bound == "none") == free == layer.is_free
        waits = (layer.buckets.dram_read, layer.buckets.dram_write, layer.buckets.other_layer)
        assert layer.busy_cycles == layer.cycles - sum(waits)
        assert layer.busy_cycles <= max(layer.array_cycles, layer.vector_cycles)
    assert result.totals["busy_cycles"] == sum(layer.busy_cycles for layer in result.layers)


def test_a_layer_of_an_earlier_accelsim_is_still_a_record() -> None:
    """What it did not say stays empty, and its columns are where they are today."""
    layer = simulate("lenet5", "edge_ws").layers[0].as_dict()
    older = {name: value for name, value in layer.items() if name != "busy_cycles"}
    assert layer_record(older) == layer_record(layer) | {"busy_cycles": None}
    assert [*layer_record(older)] == [*layer_record(layer)]


def test_macs_by_inserted_zeros_are_done_and_are_no_work() -> None:
    """Of 4x4 taps with a stride of 2 every value meets 2x2, so three in four are of zeros.

    They take energy, and cycles that are not useful; nothing is said of them where there are none.
    """
    hardware = load_hardware("edge_ws", ["energy=horowitz_45nm"])
    up = ConvTranspose(out_channels=7, kernel=(4, 4), stride=(2, 2))
    plain, zeros = (
        simulate(
            build_network("up", {"x": (5, 6, 6)}, [*starmap(LayerSpec, op.parts("u", ("x",)))]),
            hardware,
            batch=3,
        )
        for op in (up, replace(up, form="zero_inserted"))
    )
    assert plain.macs == zeros.macs == 3 * 7 * 5 * 14 * 14 * 4
    (layer,) = (layer for layer in zeros.layers if layer.macs)
    assert (layer.macs, layer.zero_macs) == (zeros.macs, 3 * zeros.macs)
    assert (plain.zero_macs, zeros.zero_macs) == (0, 3 * zeros.macs)
    assert zeros.utilization == zeros.macs / (zeros.pes * zeros.cycles)
    assert layer.utilization == layer.macs / (zeros.pes * layer.cycles)
    assert layer.buckets.useful == layer.macs // zeros.pes
    assert layer.buckets.total == layer.cycles
    assert plain.energy is not None
    assert zeros.energy is not None
    assert zeros.energy.mac == 4 * plain.energy.mac
    assert zeros.totals["energy_pj_per_mac"] == zeros.energy.total / zeros.macs
    assert zeros.rates.tops_per_watt == pytest.approx(2 * zeros.macs / zeros.energy.total)
    assert zeros.totals["zero_macs"] == layer.as_dict()["zero_macs"] == 3 * zeros.macs
    assert "zero_macs" not in {*plain.totals, *plain.layers[0].as_dict()}
    assert layer_record(layer.as_dict())["zero_macs"] == 3 * zeros.macs
    spread = zeros.layers[0]
    assert (spread.op, spread.macs, spread.output_shape) == ("pad", 0, (5, 11, 11))
    assert sum(each.zero_macs for each in by_block(Comparison((zeros,))).runs[0].layers) == (
        zeros.zero_macs
    )
