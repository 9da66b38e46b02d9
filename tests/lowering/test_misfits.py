"""What does not fit is told of all layers at once: each layer by itself says whether it does."""

import re

import numpy as np
from drawing import drawn
from drawn_networks import Draw
from hypothesis import given
from hypothesis import strategies as st
from machines import SYSTOLIC, Buffers, chain, machine, separate_psums, split, unified
from odd_machines import odd_network

from accelsim.errors import DoesNotFitError
from accelsim.hardware import Hardware
from accelsim.lowering.lower import lower
from accelsim.network.graph import Network

MAKES = {"split": split, "unified": unified, "separate": separate_psums}
ONE = re.compile(r"^chain on tiny: layer (\w+): ")
MANY = re.compile(r"^chain on tiny: (\d+) layers \((.*), \.\.\.\): ")
LEVER = re.compile(r"make buffers\.(\w+)\.size at least (\d+) B")


def buffers_of(layout: str, size: int) -> Buffers:
    return MAKES[layout](*(f"{size} B",) * (3 if layout == "split" else 1))


def misfit(network: Network, hardware: Hardware) -> DoesNotFitError | None:
    """What lowering says of a network that does not fit."""
    try:
        lower(network, hardware)
    except DoesNotFitError as error:
        return error
    return None


def misfits_alone(network: Network, hardware: Hardware) -> set[str]:
    """The layers of a chain that do not fit by themselves, each reading what it read."""
    return {
        layer.name
        for layer in network.layers
        if misfit(chain(layer.input_shapes[0], layer.op), hardware) is not None
    }


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([*MAKES]),
    st.integers(1, 40),
    st.sampled_from(SYSTOLIC),
)
@drawn(100)
def test_all_that_do_not_fit_are_told_and_what_is_told_helps(
    seed: int, layout: str, size: int, dataflow: str
) -> None:
    """Every one is named or counted, no other, and with the sizes that are asked for all fit."""
    network = odd_network(Draw(np.random.default_rng(seed)))
    buffers, array = buffers_of(layout, size), {"dataflow": dataflow}
    alone = misfits_alone(network, machine(buffers, array))
    error = misfit(network, machine(buffers, array))
    if error is None:
        assert not alone
        return
    count, sizes = 0, dict.fromkeys(buffers, size)
    for line in str(error).splitlines():
        single, several = ONE.match(line), MANY.match(line)
        names = [single[1]] if single else several[2].split(", ") if several else []
        assert names
        assert {*names} <= alone
        count += int(several[1]) if several else 1
        for name, needed in LEVER.findall(line):
            sizes[name] = max(sizes[name], int(needed))
    assert count == len(alone)
    larger = {name: each | {"size": f"{sizes[name]} B"} for name, each in buffers.items()}
    assert misfit(network, machine(larger, array)) is None
