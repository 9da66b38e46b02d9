"""A run's JSON as `diff` needs it: checked, for anybody may have written it."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from accelsim.errors import InputError, Problem
from accelsim.frontend.source import read_text
from accelsim.results import SCHEMA
from accelsim.sweep.quantities import result_quantities
from accelsim.text import shown

LARGEST_RUN = 64 * 2**20
"""Bytes of a run's JSON."""
LARGEST_NUMBER = 2**63
WHOLE_RUN = "whole run"
"""What the totals are called among the layers."""
_COUNTED = ("cycles", "seconds", "dram_read_bytes", "dram_write_bytes")


def read_run(path: Path) -> Mapping[str, Any]:
    """What `accelsim run --json` has written; raises InputError for anything else."""
    try:
        data = json.loads(read_text(path, LARGEST_RUN))
    except RecursionError:
        raise InputError(
            Problem(message="is neither a results file nor JSON: too deep", source=str(path))
        ) from None
    except ValueError as error:
        raise InputError(
            Problem(message=f"is neither a results file nor JSON: {error}", source=str(path))
        ) from None
    wanted = {"schema", "totals", "layers", "network", "batch"}
    if not isinstance(data, dict) or not wanted <= data.keys():
        message = "is not what `accelsim run --json` writes; it has no `totals` and `layers`"
        raise InputError(Problem(message=message, source=str(path)))
    if data["schema"] != SCHEMA:
        message = f"has schema {shown(data['schema'])}; this version of accelsim reads {SCHEMA}"
        raise InputError(Problem(message=message, source=str(path)))
    problems = list(_problems(data))
    if problems:
        raise InputError(
            Problem(message=message, source=str(path), key=key) for key, message in problems
        )
    return data


def layers_of(run: Mapping[str, Any]) -> dict[str, Mapping[str, object]]:
    """The whole run and its layers by name, as flat records."""
    records: dict[str, Mapping[str, object]] = {
        WHOLE_RUN: result_quantities(run["totals"], run["batch"])
    }
    for layer in run["layers"]:
        dram = layer["dram"]
        read = sum(dram[name] for name in dram if name.endswith("_read_bytes"))
        write = sum(dram[name] for name in dram if name.endswith("_write_bytes"))
        moved = {"dram_read_bytes": read, "dram_write_bytes": write, "dram_bytes": read + write}
        records[layer["name"]] = {**layer, **moved}
    return records


def _problems(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What keeps a run from being compared, by key."""
    if type(run["batch"]) is not int or not 1 <= run["batch"] <= LARGEST_NUMBER:
        yield "batch", f"expected a whole number above 0, found {shown(run['batch'])}"
    yield from _total_problems(run["totals"])
    if not isinstance(run["layers"], list):
        yield "layers", f"expected a list, found {shown(run['layers'])}"
        return
    for index, layer in enumerate(run["layers"]):
        yield from _layer_problems(f"layers[{index}]", layer)


def _total_problems(totals: object) -> Iterator[tuple[str, str]]:
    if not isinstance(totals, dict):
        yield "totals", f"expected a mapping, found {shown(totals)}"
        return
    for name in _COUNTED:
        if name not in totals:
            yield f"totals.{name}", "is missing"
    yield from _number_problems("totals", totals)


def _layer_problems(place: str, layer: object) -> Iterator[tuple[str, str]]:
    if not isinstance(layer, dict) or not isinstance(layer.get("dram"), dict):
        yield place, f"expected a layer with its `dram`, found {shown(layer)}"
    elif not isinstance(layer.get("name"), str):
        yield f"{place}.name", f"expected text, found {shown(layer.get('name'))}"
    else:
        yield from _number_problems(place, layer)
        for name, value in layer["dram"].items():
            if name.endswith("_bytes") and not _is_number(value):
                yield f"{place}.dram.{name}", f"expected a number, found {shown(value)}"


def _number_problems(place: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Numbers that are none, or beyond what floats hold without loss of all meaning."""
    for name, value in values.items():
        if isinstance(value, (int, float)) and not _is_number(value):
            yield f"{place}.{name}", f"is beyond what can be compared: {shown(value)}"
        elif name in _COUNTED and not _is_number(value):
            yield f"{place}.{name}", f"expected a number, found {shown(value)}"


def _is_number(value: object) -> bool:
    """A number, no boolean, not NaN, within what results reach."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return -LARGEST_NUMBER <= value <= LARGEST_NUMBER
