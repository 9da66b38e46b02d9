"""Two systolic arrays in Verilog, held cycle by cycle."""

from collections.abc import Iterator
from functools import cache, partial

from accelsim.frontend.hardware_file import load_hardware
from accelsim.lowering.dataflow import (
    ArrayModel,
    Gemm,
    array_model,
    fold_count,
    least_turn,
    untiled_cycles,
)
from accelsim.validation.data import FOLDER, table
from accelsim.validation.reference import Comparison, Reference

SETTINGS = {
    "os_fullsweep": ("array.dataflow=os", "array.edge_folds=full"),
    "os_partial": ("array.dataflow=os", "array.edge_folds=used"),
    "ws": ("array.dataflow=ws", "array.edge_folds=full"),
    "os_overlapped_drain": (),
}
"""What each way of running an array sets in its hardware file."""

_LOSES_WORDS = (
    "not judged: its output registers take the next fold's words while the last fold's still "
    "shift out, and the words that then are lost are not waited for (here two columns of padding)"
)


def _comparisons(array: str) -> Iterator[Comparison]:
    for row in table("rtl_systolic"):
        if row["rtl"] == array:
            yield _comparison(row)


def _comparison(row: dict[str, str]) -> Comparison:
    rows, cols, m, n, k = (int(row[key]) for key in ("rows", "cols", "M", "N", "K"))
    array, gemm = _array(row["rtl"], row["mode"], rows, cols), Gemm(m=m, n=n, k=k)
    overrun = fold_count(array, gemm) > 1 and array.pipelined and k < least_turn(array, rows, cols)
    return Comparison(
        case=f"{row['mode']} {rows}x{cols}, M {m}, N {n}, K {k}",
        quantity="cycles",
        unit="cycles",
        measured=int(row["total_cycles"]),
        modelled=untiled_cycles(array, gemm),
        band=None if overrun else 0.0,
        note=_LOSES_WORDS if overrun else "",
    )


@cache
def _array(rtl: str, mode: str, rows: int, cols: int) -> ArrayModel:
    """The array as its hardware file describes it, run in one of its modes."""
    size = (f"array.rows={rows}", f"array.cols={cols}")
    return array_model(load_hardware(FOLDER / f"{rtl}.yaml", (*size, *SETTINGS[mode])))


REFERENCES = (
    Reference(
        name="rtl_traditional",
        title="Verilog: SCALE-Sim v3's array, os and ws",
        source="github.com/scalesim-project/SCALE-Sim (Raj et al., ISPASS 2025), in Verilator; "
        "first operand in to last result out, outputs checked",
        assumption="fold law; its psum passes two registers in each PE (psum_registers: 2)",
        compare=partial(_comparisons, "traditional_systolic"),
    ),
    Reference(
        name="rtl_axis",
        title="Verilog: axis-systolic-array, os, drain beside the next fold",
        source="github.com/abarajithan11/axis-systolic-array, in Verilator; first operand in to "
        "last result out, outputs checked",
        assumption="pipelined folds; drain: cols, drain_start: array, mac_stages: 3",
        compare=partial(_comparisons, "axis_sa"),
    ),
)
