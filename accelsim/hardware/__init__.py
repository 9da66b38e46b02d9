"""The accelerator schema: the parts of a hardware file, from its quantities to the whole."""

from accelsim.hardware.array import NO_SPADS, Array, RowStationarySpec
from accelsim.hardware.machine import COUPLED_PARTS, BatchSplit, Hardware, Precision
from accelsim.hardware.memory import Buffer, DramChannel, holding_problems
from accelsim.hardware.quantities import (
    BEST,
    DATAFLOWS,
    OPERANDS,
    SYSTOLIC,
    WITH_SPADS,
    DataflowName,
    FusedKind,
    MappingObjective,
    Objective,
    Operand,
    Where,
)

__all__ = [
    "BEST",
    "COUPLED_PARTS",
    "DATAFLOWS",
    "NO_SPADS",
    "OPERANDS",
    "SYSTOLIC",
    "WITH_SPADS",
    "Array",
    "BatchSplit",
    "Buffer",
    "DataflowName",
    "DramChannel",
    "FusedKind",
    "Hardware",
    "MappingObjective",
    "Objective",
    "Operand",
    "Precision",
    "RowStationarySpec",
    "Where",
    "holding_problems",
]
