"""SCALE-Sim v3's compute cycles and SRAM counts, by the relation between its laws and ours."""

from collections.abc import Iterator
from functools import cache

from accelsim.frontend.hardware_file import load_hardware
from accelsim.lowering.cost import Target, target_of
from accelsim.lowering.dataflow import (
    Extents,
    Gemm,
    fold_count,
    mapping_efficiency,
    untiled_cycles,
)
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.tasks import gemm_work
from accelsim.network.ops import Window
from accelsim.validation.data import table
from accelsim.validation.reference import Comparison, Reference

_ROUNDING = 1e-12  # of percentages that are computed in another order


def _comparisons() -> Iterator[Comparison]:
    for row in table("scalesim_v3_compute"):
        yield from _of_row(row)


def _of_row(row: dict[str, str]) -> Iterator[Comparison]:
    rows, cols, flow = int(row["rows"]), int(row["cols"]), row["dataflow"]
    gemm = Gemm(int(row["M"]), int(row["N"]), int(row["K"]))
    target = _target(rows, cols, flow)
    array, folds = target.array, fold_count(target.array, gemm)
    kernel = GemmKernel(1, 1, gemm.n, gemm.k, Window(gemm.m, 1), Window(1, 1))
    words = gemm_work(kernel, target, 1, Extents(gemm.m, gemm.n, gemm.k)).sram
    case = f"{row['network']} {row['layer']}, {rows}x{cols} {flow}"
    short, why = (rows * folds, "less R per fold, which its trace leaves out")
    # WS, IS: each fold along k writes its psums; OS: the trace counts the skew of every fold too.
    extra = folds * (rows + cols) if flow == "os" else words.psum_writes
    cycles = untiled_cycles(array, gemm) - (short if flow == "os" else 0)
    note = why if flow == "os" else ""

    def counted(quantity: str, unit: str, key: str, modelled: int, note: str = "") -> Comparison:
        return Comparison(case, quantity, unit, int(row[key]), modelled, 0.0, note)

    yield counted("cycles", "cycles", "cycles", cycles, note)
    yield counted("reported total", "cycles", "reported_total_cycles", cycles - 1, note)
    yield Comparison(
        *(case, "mapping efficiency", "%", float(row["mapping_efficiency_pct"])),
        *(100 * mapping_efficiency(array, gemm), _ROUNDING),
    )
    yield counted("ifmap reads", "words", "sram_ifmap_reads", words.ifmap_reads)
    yield counted("filter reads", "words", "sram_filter_reads", words.filter_reads)
    yield counted(
        *("ofmap writes", "words", "sram_ofmap_writes", words.ofmap_writes + extra),
        note="and (R + C) per fold" if flow == "os" else "psums and ofmap together",
    )


@cache
def _target(rows: int, cols: int, dataflow: str) -> Target:
    """Its default machine with another array."""
    settings = (f"array.rows={rows}", f"array.cols={cols}", f"array.dataflow={dataflow}")
    return target_of(load_hardware("scalesim_default", settings))


REFERENCE = Reference(
    name="scalesim",
    title="SCALE-Sim v3: compute cycles and SRAM words",
    source="scalesim 3.0.0 (PyPI), 351 layers x arrays x dataflows",
    assumption="fold law; SCALE-Sim's os fold is R cycles short, its total one cycle",
    compare=_comparisons,
)
