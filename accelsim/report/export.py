"""Results for programs: JSON and CSV, to files or standard output."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

from accelsim.errors import Problem
from accelsim.files import obstacles
from accelsim.results import LayerResult, RunResult, layer_record
from accelsim.text import cell

STANDARD_OUTPUT = "-"


@dataclass(frozen=True, slots=True)
class Destinations:
    """Where the user wants JSON and CSV: paths, `-` for standard output, or nowhere.

    `inputs` are what the command reads, where nothing may be written; `files` are paths of what
    else is written, by option.
    """

    json: str | None = None
    csv: str | None = None
    inputs: tuple[str, ...] = ()
    files: tuple[tuple[str, str | None], ...] = ()

    @property
    def on_standard_output(self) -> bool:
        """Whether standard output belongs to JSON or CSV, so that nothing else may go there."""
        return STANDARD_OUTPUT in (self.json, self.csv)

    @property
    def problems(self) -> list[Problem]:
        """What stands in the way of writing; known before anything is computed."""
        given = (("--json", self.json), ("--csv", self.csv), *self.files)
        named = [(option, path) for option, path in given if path is not None]
        problems = [_both(*pair) for pair in combinations(named, 2) if pair[0][1] == pair[1][1]]
        if problems:
            return problems
        return [
            Problem(message=message, source=f"{option} {path}")
            for option, path in named
            if path != STANDARD_OUTPUT or (option, path) in self.files
            for message in self._obstacles(path)
        ]

    def _obstacles(self, path: str) -> Iterable[str]:
        if path == STANDARD_OUTPUT:
            return ["goes to a file only; give its path"]
        return obstacles(path, self.inputs)


def _both(one: tuple[str, str], other: tuple[str, str]) -> Problem:
    """Two options with one path."""
    return Problem(
        message=f"both would go to {one[1]!r}; give one a file", source=f"{one[0]} and {other[0]}"
    )


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
        **layer_record(run.layer_dict(layer)),
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
