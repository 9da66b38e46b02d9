"""Results for programs: JSON and CSV, to files or standard output."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from accelsim.errors import Problem
from accelsim.files import obstacles
from accelsim.results import LayerResult, RunResult, layer_record
from accelsim.text import visible

STANDARD_OUTPUT = "-"


@dataclass(frozen=True, slots=True)
class Destinations:
    """Where the user wants JSON and CSV: paths, `-` for standard output, or nowhere.

    `inputs` are what the command reads, where nothing may be written.
    """

    json: str | None = None
    csv: str | None = None
    inputs: tuple[str, ...] = ()

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
            for message in obstacles(path, self.inputs)
        ]


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
    return rows_text([_row(run, layer) for run in runs for layer in run.layers])


def _row(run: RunResult, layer: LayerResult) -> dict[str, object]:
    return {
        "network": run.network,
        "hardware": run.hardware,
        "dataflow": run.dataflow,
        "batch": run.batch,
        "clock_hz": run.clock_hz,
        **layer_record(layer.as_dict()),
    }


def rows_text(rows: Sequence[Mapping[str, object]]) -> str:
    """CSV of records; the header has every key of any of them."""
    return streamed_text(lambda: rows)


def streamed_text(rows: Callable[[], Iterable[Mapping[str, object]]]) -> str:
    """As `rows_text`, of records that are made twice so that never all of them are kept."""
    text = io.StringIO()
    names = dict.fromkeys(chain.from_iterable(rows()))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(cell, names))
    writer.writerows([cell(row.get(name)) for name in names] for row in rows())
    return text.getvalue()


def cell(value: object) -> object:
    """A value for CSV; no text that a spreadsheet takes for a formula, or that is not seen."""
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


_FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""And their wide forms, which some take for the same."""
