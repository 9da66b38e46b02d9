"""Eyeriss' chip by counts: what its power is made of."""

import pytest

from accelsim.frontend.hardware_file import load_hardware
from accelsim.lowering.row_stationary_tasks import row_stationary_schedules
from accelsim.lowering.target import target_of
from accelsim.validation.data import table
from accelsim.validation.eyeriss import chip_power_mw, kernels, published_mappings


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
