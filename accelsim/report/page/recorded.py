"""A run's JSON (schema 1) as a report reads it: checked, for anybody may have written it."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accelsim.errors import InputError, Problem
from accelsim.frontend.findings import findings
from accelsim.frontend.source import dotted, read_text

LARGEST_FILE = 64 * 2**20
"""Bytes of a file of results."""

Count = Annotated[int, Field(ge=-(2**63), le=2**63)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Energy(_Record):
    """pJ by component."""

    mac: Amount = 0.0
    vector: Amount = 0.0
    register_file: Amount = 0.0
    network: Amount = 0.0
    buffers: dict[str, Amount] = {}
    dram: Amount = 0.0

    @property
    def parts(self) -> dict[str, float]:
        """What people call the components, and their pJ."""
        return {
            "MACs": self.mac,
            "vector unit": self.vector,
            "registers of the PEs": self.register_file,
            "network between the PEs": self.network,
            **{f"buffer {name}": value for name, value in self.buffers.items()},
            "DRAM": self.dram,
        }


class _Moved(_Record):
    cycles: Annotated[int, Field(ge=0, le=2**63)]
    macs: Annotated[int, Field(ge=0, le=2**63)]
    zero_macs: Count = 0
    utilization: Amount
    dram: dict[str, Count]
    buckets: dict[str, Count]
    energy_pj: Amount | None = None

    def bytes(self, way: str) -> int:
        """DRAM bytes `read` or `write`, of all operands."""
        return sum(count for name, count in self.dram.items() if name.endswith(f"_{way}_bytes"))

    @property
    def own_cycles(self) -> int:
        """Cycles without waits for other layers; results of an earlier accelsim name no waits."""
        return self.cycles - self.buckets.get("other_layer", 0)

    @property
    def dram_bytes(self) -> int:
        """DRAM bytes both ways."""
        return self.bytes("read") + self.bytes("write")


class LayerRecord(_Moved):
    """One layer."""

    name: str
    op: str
    start_cycle: Annotated[int, Field(ge=0, le=2**63)]
    end_cycle: Annotated[int, Field(ge=0, le=2**63)]
    array_cycles: Count = 0
    vector_cycles: Count = 0
    dram_cycles: Count = 0
    bound: str
    tiles: Count
    inputs: list[str] = []

    @property
    def is_free(self) -> bool:
        """Whether it costs nothing."""
        return not self.tiles


class TotalsRecord(_Moved):
    """The whole run."""

    seconds: Amount
    energy: Energy | None = None
    sram: dict[str, Count] = {}


class PhaseRecord(_Moved):
    """The layers of one phase of a training step; cycles are the sum of theirs."""

    layer_cycles: Annotated[int, Field(ge=0, le=2**63)]


class Derived(_Record):
    """What follows from the hardware."""

    pes: Annotated[int, Field(gt=0, le=2**63)]
    dram_bytes_per_cycle: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class MadeBy(_Record):
    """What a result was made from; results of an earlier accelsim do not say."""

    accelsim: str
    network_sha256: str
    settings: list[str]
    asked: dict[str, Any] = {}
    hardware: dict[str, Any]
    derived: Derived


class RunRecord(_Record):
    """One run."""

    schema_: Literal[1] = Field(alias="schema")
    network: str
    hardware: str
    dataflow: str
    batch: Annotated[int, Field(gt=0, le=2**63)]
    clock_hz: Annotated[int, Field(gt=0, le=2**63)]
    totals: TotalsRecord
    phases: dict[str, PhaseRecord] = {}
    layers: list[LayerRecord]
    made_by: MadeBy | None = None

    @property
    def working(self) -> list[LayerRecord]:
        """The layers that cost something."""
        return [layer for layer in self.layers if not layer.is_free]


def read_runs(paths: Sequence[str]) -> list[RunRecord]:
    """All runs of files that run, compare or train have written; raises InputError."""
    runs: list[RunRecord] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            runs += _runs_of(path)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return runs


def recorded(data: object, source: str, path: str = "") -> RunRecord:
    """A run's JSON form, checked; raises InputError, with keys below `path`."""
    try:
        return RunRecord.model_validate(data)
    except ValidationError as error:
        found = findings(error, data, RunRecord.model_json_schema())
        keys = [(f"{path}.{dotted(each.path)}".strip("."), each.message) for each in found]
        raise InputError(
            Problem(message=text, source=source, key=key) for key, text in keys
        ) from None


def _runs_of(path: str) -> Iterator[RunRecord]:
    data = _json_of(path)
    if isinstance(data, dict) and isinstance(data.get("runs"), list) and data["runs"]:
        return iter([recorded(run, path, f"runs[{i}]") for i, run in enumerate(data["runs"])])
    if not isinstance(data, dict) or not {"schema", "totals", "layers"} <= data.keys():
        message = "is not what `--json` of run, compare or train writes; it has no `layers`"
        raise InputError(Problem(message=message, source=path))
    return iter([recorded(data, path)])


def _json_of(path: str) -> object:
    text = read_text(Path(path), LARGEST_FILE)
    try:
        return json.loads(text)
    except RecursionError:
        raise InputError(
            Problem(message="is no JSON that can be read: too deep", source=path)
        ) from None
    except ValueError as error:
        raise InputError(Problem(message=f"is no JSON: {error}", source=path)) from None
