"""Eyeriss' chip by counts: what its power is made of."""

import numpy as np
import pytest

from accelsim.frontend.hardware_file import load_hardware
from accelsim.lowering.row_stationary import whole_rows
from accelsim.lowering.row_stationary_cost import legal
from accelsim.lowering.row_stationary_tasks import row_stationary_schedules
from accelsim.lowering.target import target_of
from accelsim.validation.data import table
from accelsim.validation.eyeriss import (
    LATENCY_BAND,
    chip_power_mw,
    found_mapping,
    kernels,
    layers,
    modelled,
    published_mappings,
)


@pytest.mark.parametrize("name", ["CONV1", "CONV5"])
def test_power_is_energy_in_its_time(name: str) -> None:
    """Twice the clock, twice the power; more than its MACs take alone, and of their order."""
    hardware = load_hardware("eyeriss", ["energy=eyeriss_65nm"])
    kernel = kernels()[name]
    (schedule,) = row_stationary_schedules(kernel, target_of(hardware), published_mappings()[name])
    power = chip_power_mw(schedule, hardware)
    fast = hardware.model_copy(update={"clock": 2 * hardware.clock})
    assert chip_power_mw(schedule, fast) == pytest.approx(2 * power)
    assert hardware.energy is not None
    each = hardware.energy.mac_pj((16, 16), 16, True)
    macs = kernel.macs * each / (schedule.cycles / hardware.clock) * 1e-9
    assert macs < power < 8 * macs


@pytest.mark.parametrize("name", ["eyeriss_alexnet", "eyeriss_vgg16"])
@pytest.mark.parametrize(
    "column", ["total_latency_ms", "processing_latency_ms", "glb_access_mb", "dram_access_mb"]
)
def test_columns_have_the_total_of_the_table(name: str, column: str) -> None:
    """No digit of a row was misread: each was printed to 0.1, and so was their sum."""
    *rows, total = (float(row[column]) for row in table(name))
    assert sum(rows) == pytest.approx(total, abs=0.05 * (len(rows) + 1))


def test_banks_allow_four_channels_of_sets_as_wide_as_the_array() -> None:
    """VGG-16's CONV4_2, as the chip seems to have run it.

    16 ifmap rows of 30 words are 480 for a channel; a bank has 2,048. Sets of 7 rows need nine.
    """
    layer, hardware = layers("vgg16", 3)["CONV4_2"], load_hardware("eyeriss")
    target = target_of(hardware)

    def allowed(e: int, q: int, r: int, t: int) -> bool:
        mapping = whole_rows(layer.kernel, *np.array([[32], [3], [e], [16], [q], [r], [t]]))
        return bool(legal(layer.kernel, target, mapping)[0])

    assert allowed(14, 2, 2, 2)
    assert not allowed(14, 3, 2, 2)
    assert allowed(7, 3, 2, 2)


@pytest.mark.parametrize("name", ["CONV4_1", "CONV4_2", "CONV4_3"])
def test_sets_as_wide_as_the_array_are_what_the_chip_seems_to_have_run(name: str) -> None:
    """Latency within the aim of 5 %, and buffer traffic too; passes of six channels are not."""
    layer, hardware = layers("vgg16", 3)[name], load_hardware("eyeriss")
    said = modelled(layer, hardware, whole_rows(layer.kernel, 32, 3, 14, 16, 2, 2, 2))
    assert said.processing_ms == pytest.approx(layer.silicon.processing_ms, rel=LATENCY_BAND)
    assert said.buffer_mb == pytest.approx(layer.silicon.buffer_mb, rel=0.05)
    assert said.dram_mb < modelled(layer, hardware, found_mapping(layer, hardware)).dram_mb
