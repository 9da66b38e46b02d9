"""What runs and checks report: frozen records, and their JSON form (schema 1)."""

from accelsim.results.checks import LayerCheck, VerifyResult
from accelsim.results.flat import layer_record
from accelsim.results.records import (
    SCHEMA,
    Bound,
    Buckets,
    Energy,
    LayerResult,
    Resident,
    RunResult,
)

__all__ = [
    "SCHEMA",
    "Bound",
    "Buckets",
    "Energy",
    "LayerCheck",
    "LayerResult",
    "Resident",
    "RunResult",
    "VerifyResult",
    "layer_record",
]
