"""Results for programs: JSON and CSV, to files or standard output."""

import csv
import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accelsim.errors import InputError, Problem
from accelsim.report.quantities import shape
from accelsim.results import LayerResult, RunResult

STANDARD_OUTPUT = "-"


@dataclass(frozen=True, slots=True)
class Destinations:
    """Where the user wants JSON and CSV: paths, `-` for standard output, or nowhere."""

    json: str | None = None
    csv: str | None = None

    @property
    def on_standard_output(self) -> bool:
        """Whether standard output belongs to JSON or CSV, so that nothing else may go there."""
        return STANDARD_OUTPUT in (self.json, self.csv)

    @property
    def problems(self) -> list[Problem]:
        """What stands in the way of writing; known before anything is computed."""
        if self.json is not None and self.json == self.csv:
            return [Problem(f"both would go to {self.json!r}; give one a file", "--json and --csv")]
        named = (("--json", self.json), ("--csv", self.csv))
        return [
            Problem(message, f"{option} {path}")
            for option, path in named
            if path is not None and path != STANDARD_OUTPUT
            for message in _obstacles(Path(path))
        ]


def _obstacles(path: Path) -> Iterable[str]:
    folder = path.parent
    if path.is_dir():
        yield "is a directory, expected a file"
    elif not folder.is_dir():
        yield f"there is no directory {folder}"
    elif not os.access(path if path.exists() else folder, os.W_OK):
        yield "not writable: permission denied"


def write_file(path: str, text: str) -> None:
    """Write a file at once; raises InputError where the system does not let it."""
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(Problem(f"cannot be written: {error.strerror}", path)) from None


def json_text(data: Mapping[str, Any]) -> str:
    """JSON in a fixed order; what is not finite becomes null, for JSON has no infinity."""
    return json.dumps(_finite(data), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def csv_text(runs: Iterable[RunResult]) -> str:
    """One line per layer of each run."""
    return rows_text([_flat(run, layer) for run in runs for layer in run.layers])


def rows_text(rows: Sequence[Mapping[str, object]]) -> str:
    """CSV of records that share their keys, which are the header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _flat(run: RunResult, layer: LayerResult) -> dict[str, object]:
    """A layer with its run; the unit ends the name of each quantity that has one."""
    m, n, k = layer.gemm or ("", "", "")
    return {
        "network": run.network,
        "hardware": run.hardware,
        "dataflow": run.dataflow,
        "batch": run.batch,
        "clock_hz": run.clock_hz,
        "layer": layer.name,
        "op": layer.op,
        "output_shape": shape(layer.output_shape),
        "m": m,
        "n": n,
        "k": k,
        "macs": layer.macs,
        "parameters": layer.parameters,
        "cycles": layer.cycles,
        "start_cycle": layer.start_cycle,
        "end_cycle": layer.end_cycle,
        "array_cycles": layer.array_cycles,
        "untiled_array_cycles": layer.untiled_array_cycles,
        "vector_cycles": layer.vector_cycles,
        "dram_cycles": layer.dram_cycles,
        "utilization": layer.utilization,
        "mapping_efficiency": layer.mapping_efficiency,
        "bound": layer.bound,
        "tiles": layer.tiles,
        **{f"dram_{name}": count for name, count in asdict(layer.dram).items()},
        "dram_read_bytes": layer.dram.read_bytes,
        "dram_write_bytes": layer.dram.write_bytes,
        "dram_saved_bytes": layer.dram_saved_bytes,
        **{f"resident_{name}": count for name, count in asdict(layer.resident).items()},
        **{f"sram_{_words(name)}": count for name, count in asdict(layer.sram).items()},
        **{f"inside_{name}": count for name, count in asdict(layer.inside).items()},
        **{f"bucket_{name}_cycles": count for name, count in asdict(layer.buckets).items()},
        **_energy(layer),
    }


def _energy(layer: LayerResult) -> dict[str, float | None]:
    """Energy columns, none where the hardware names no table."""
    if layer.energy is None:
        return {}
    data = layer.energy.as_dict()
    buffers = data.pop("buffers")
    return {
        "energy_pj": layer.energy.total,
        "energy_pj_per_mac": layer.energy.per_mac(layer.macs),
        **{f"energy_{name}_pj": value for name, value in data.items()},
        **{f"energy_buffer_{name}_pj": value for name, value in buffers.items()},
    }


def _words(name: str) -> str:
    """`ifmap_reads` as `ifmap_read_words`."""
    return f"{name.removesuffix('s')}_words"
