"""TPU v3: what a row names, and whom its band comes from."""

import pytest

from accelsim.frontend.hardware_file import load_hardware
from accelsim.validation.data import table
from accelsim.validation.tpu_v3 import of_row, others, workload

ROWS = {row["workload"]: row for row in table("tpu_v3_measured")}


@pytest.mark.parametrize(
    ("name", "macs", "images"),
    [
        ("gemm_256x256x256", 256**3, 1),
        ("conv_64x28x28x128x128x3x1x1", 28 * 28 * 128 * 128 * 9, 64),
        ("conv_64x7x7x512x512x3x1x1", 7 * 7 * 512 * 512 * 9, 64),
        ("layernorm_512x768", 0, 1),
        ("attention_12x512x64", 2 * 12 * 512 * 512 * 64, 1),
    ],
)
def test_a_row_is_a_network(name: str, macs: int, images: int) -> None:
    network, batch = workload(name)
    assert (network.macs, batch) == (macs, images)


def test_every_row_can_be_made() -> None:
    assert all(workload(name)[0].layers for name in ROWS)


def test_the_nearest_of_the_others() -> None:
    """3,101 cycles: mNPUsim says 2,426."""
    errors = others(ROWS["gemm_256x256x256"])
    assert min(map(abs, errors.values())) == pytest.approx(1 - 2426 / 3101)
    assert others(ROWS["layernorm_512x768"]) == {}


def test_a_row_is_judged_by_what_it_is() -> None:
    """Not by whether it passes: a convolution that gets worse leaves its band."""
    row = next(row for name, row in ROWS.items() if name.startswith("conv"))
    good, bad = (of_row(row, round(float(row["tpuv3_cycles"]) * by)) for by in (0.99, 0.5))
    assert good.passed
    assert not bad.passed
    assert of_row(ROWS["gemm_256x256x256"], 3101).band is None


def test_the_core_is_the_published_one() -> None:
    """123 TFLOPS of the chip's two cores; 900 GB/s for both."""
    core = load_hardware("tpu_v3")
    assert 2 * 2 * core.pes * core.clock / 1e12 == pytest.approx(123, rel=0.01)
    per_second = float(core.dram_bytes_per_cycle) * core.clock
    assert 2 * per_second == pytest.approx(900e9, rel=0.001)
