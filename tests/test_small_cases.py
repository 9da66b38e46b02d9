"""Small inputs that once took many times what they should, each standing for a whole kind."""

from pathlib import Path

import pytest

from accelsim.facade import simulate
from accelsim.frontend.hardware_file import load_hardware

CASES = Path(__file__).parent / "cases"
WORST = 1.03


def cycles(case: str, hardware: str, *settings: str) -> int:
    return simulate(CASES / case, load_hardware(hardware, settings)).cycles


def test_one_more_row_costs_about_one_more_row() -> None:
    """57,344 rows cut evenly in many ways, 57,345 in few."""
    fewer = cycles("gemm_57344.csv", "edge_ws")
    assert cycles("gemm_57345.csv", "edge_ws") <= WORST * fewer


def test_a_tall_gemm_is_no_slower_than_cut_in_16() -> None:
    whole = cycles("gemm_65536_768_768.csv", "edge_ws")
    assert whole <= WORST * cycles("gemm_65536_768_768_cut_in_16.csv", "edge_ws")


def test_a_million_rows() -> None:
    """Cut by hand into 980 it takes 8.3 million cycles."""
    assert cycles("gemm_million_rows.csv", "edge_ws") <= WORST * 8_300_000


def test_two_billion_rows(tmp_path: Path) -> None:
    """2,048 times a million rows, but for what overlaps."""
    file = tmp_path / "tall.csv"
    file.write_text(f"Layer, M, N, K,\nrow,{2**31},64,64,\n")
    result = simulate(file, "edge_ws")
    assert result.macs == 2**43
    assert result.cycles <= WORST * cycles("gemm_million_rows.csv", "edge_ws") * 2**31 / 10**6


def test_a_gemm_written_as_a_convolution_takes_as_long() -> None:
    """A window of 1 x 1,600 over one channel, and 1,600 inner products: the same bytes and MACs."""
    window = cycles("gemm_as_conv.csv", "scalesim_default")
    matrix = cycles("gemm_as_gemm.csv", "scalesim_default")
    assert window <= WORST * matrix
    assert matrix <= WORST * window


def test_alexnet_on_a_wide_array_with_a_small_filter_buffer() -> None:
    settings = ("array.rows=8", "array.cols=128", "buffers.filter_sram.size=16 KiB")
    result = simulate("alexnet", load_hardware("edge_ws", settings), "os")
    assert result.cycles <= WORST * 6_500_000
    first = result.layers[0]
    assert first.op == "conv"
    assert first.cycles <= WORST * 600_000


@pytest.mark.parametrize(("latency", "most"), [("100 ns", 767), ("80 ns", 727)])
def test_latency_counts_once_in_a_chain_that_stays_on_chip(latency: str, most: int) -> None:
    """A shorter latency shortens it by itself, twice, and no other schedule is better."""
    assert cycles("small_chain.yaml", "edge_ws", f"dram.latency={latency}") <= most
