"""Where the cycles of a layer go, what bounds it, and how much of them is its own work."""

from drawing import drawn
from hypothesis import given
from machines import MACHINES, networks

from accelsim.errors import DoesNotFitError
from accelsim.facade import simulate
from accelsim.hardware import Hardware
from accelsim.network.graph import Network
from accelsim.results import layer_record


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
