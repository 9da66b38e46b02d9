"""SCALE-Sim v3's compute cycles and SRAM counts, by the relation between its laws and ours."""

from collections.abc import Iterator
from functools import cache

from accelsim.frontend.hardware_file import load_hardware
from accelsim.lowering.dataflow import (
    Extents,
    Gemm,
    fold_count,
    mapping_efficiency,
    untiled_cycles,
)
from accelsim.lowering.gemm_tasks import gemm_work
from accelsim.lowering.target import Target, target_of
from accelsim.lowering.traffic import Sram
from accelsim.validation.data import table
from accelsim.validation.reference import Comparison, Reference

_ROUNDING = 1e-12  # of percentages that are computed in another order

_SHORT = "ours less R per fold: its trace writes results before their operands are read"
_LAST = "its cycles less one"
_PSUMS = {
    "reported total": _LAST,
    "ofmap writes": "ours with the psums that each fold along k writes (it never reads them back)",
}
_NOTES = {
    "os": {
        "cycles": _SHORT,
        "reported total": f"{_SHORT}; {_LAST}",
        "ofmap writes": "ours with R + C per fold: its trace counts the skew",
    },
    "ws": _PSUMS,
    "is": _PSUMS,
}
"""What turns our numbers into its, by dataflow and quantity."""


def _comparisons() -> Iterator[Comparison]:
    for row in table("scalesim_v3_compute"):
        yield from _of_row(row)


def _of_row(row: dict[str, str]) -> Iterator[Comparison]:
    rows, cols, flow = int(row["rows"]), int(row["cols"]), row["dataflow"]
    gemm = Gemm(m=int(row["M"]), n=int(row["N"]), k=int(row["K"]))
    target = _target(rows, cols, flow)
    cycles, words = untiled_cycles(target.array, gemm), _words(target, gemm)
    folds, written, notes = fold_count(target.array, gemm), words.ofmap_writes, _NOTES[flow]
    if flow == "os":
        cycles -= rows * folds
        written += (rows + cols) * folds
    else:
        written += words.psum_writes
    case = f"{row['network']} {row['layer']}, {rows}x{cols} {flow}"

    def counted(quantity: str, column: str, modelled: int) -> Comparison:
        unit = "words" if column.startswith("sram") else "cycles"
        note = notes.get(quantity, "")
        return Comparison(
            case=case,
            quantity=quantity,
            unit=unit,
            measured=int(row[column]),
            modelled=modelled,
            band=0.0,
            note=note,
        )

    yield counted("cycles", "cycles", cycles)
    yield counted("reported total", "reported_total_cycles", cycles - 1)
    measured = float(row["mapping_efficiency_pct"])
    modelled = 100 * mapping_efficiency(target.array, gemm)
    yield Comparison(
        case=case,
        quantity="mapping efficiency",
        unit="%",
        measured=measured,
        modelled=modelled,
        band=_ROUNDING,
    )
    yield counted("ifmap reads", "sram_ifmap_reads", words.ifmap_reads)
    yield counted("filter reads", "sram_filter_reads", words.filter_reads)
    yield counted("ofmap writes", "sram_ofmap_writes", written)


def _words(target: Target, gemm: Gemm) -> Sram:
    """Words at the array's edge in all folds of a GEMM."""
    return gemm_work(target.array, 1, Extents(m=gemm.m, n=gemm.n, k=gemm.k)).sram


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
