"""Hardware files (`configs/*.yaml`) and settings from the command line as a `Hardware`."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from accelsim import written
from accelsim.arguments import checked
from accelsim.errors import InputError, Problem
from accelsim.frontend.builtin import find_file
from accelsim.frontend.dram_sheet import (
    TIMING,
    names_a_file,
    opened,
    replaced_by,
    sheet_in_file,
    with_sheet,
    with_sheet_file,
    without,
)
from accelsim.frontend.energy_file import energy_table
from accelsim.frontend.findings import Finding, JsonSchema, findings
from accelsim.frontend.scalesim_cfg import cfg_document
from accelsim.frontend.setting_hint import with_hint
from accelsim.frontend.source import (
    Data,
    Document,
    KeyPath,
    dotted,
    in_file_order,
    read_value,
    read_yaml,
)
from accelsim.hardware import OPERANDS, Hardware, holding_problems

SCALESIM = ".cfg"


@checked
def load_hardware(name_or_path: str | Path, settings: Sequence[str] = ()) -> Hardware:
    """A built-in accelerator by name (`edge_ws`), or one from a YAML or SCALE-Sim's .cfg file.

    `settings` are KEY=VALUE with a dotted key, such as `array.rows=64`, and replace what the
    file says. Raises InputError with every problem of file and settings.
    """
    document = _document(name_or_path)
    hardware = _from_file(document)
    if not settings:
        return hardware
    data = _with_files(deepcopy(document.data), Path(document.source).parent)
    return _changed(hardware, data, settings)


def with_settings(hardware: Hardware, settings: Sequence[str]) -> Hardware:
    """`hardware` with settings KEY=VALUE, as in `load_hardware`; raises InputError."""
    if not settings:
        return hardware
    data = written.nested(written.settings(hardware))
    return _changed(hardware, data | {"energy": hardware.energy}, settings)


def _changed(hardware: Hardware, data: dict[str, Data], settings: Sequence[str]) -> Hardware:
    """`hardware`, which `data` describes, with settings."""
    parsed = [_table_setting(_setting(text)) for text in settings]
    data = without(data, [path for each in parsed for path in replaced_by(each.path, each.value)])
    problems = [problem for setting in parsed for problem in _apply(data, setting)]
    if problems:
        raise InputError(problems)
    changed, found = checked_hardware(data)
    if changed is None:
        keys = [dotted(each.path) for each in written.settings(hardware)]
        raise InputError([_of_setting(each, parsed, keys) for each in found])
    return changed


def hardware_data(name_or_path: str | Path) -> dict[str, Data]:
    """The content of a valid hardware file, its energy table in place; raises InputError."""
    document = _document(name_or_path)
    _from_file(document)
    return _with_files(document.data, Path(document.source).parent)


def _document(name_or_path: str | Path) -> Document:
    path = find_file("configs", name_or_path, (".yaml", ".yml", SCALESIM))
    return cfg_document(path) if path.suffix.lower() == SCALESIM else read_yaml(path)


@cache
def _hardware_schema() -> JsonSchema:
    return Hardware.model_json_schema()


def _from_file(document: Document) -> Hardware:
    data, problems = document.data, list(document.problems)
    try:
        data = _with_table(data, Path(document.source).parent)
    except InputError as error:
        data = {**data, "energy": None}
        problems += [_in_hardware(document, problem, ("energy",)) for problem in error.problems]
    try:
        data = with_sheet_file(data, Path(document.source).parent)
    except InputError as error:
        raise InputError(
            [*problems, *(_in_hardware(document, problem, TIMING) for problem in error.problems)]
        ) from None
    hardware, found = checked_hardware(data)
    problems += (refused := [document.problem(f.path, f.message, f.at_key) for f in found])
    if hardware is None:
        problems += _unchecked(document, refused)
    if hardware is None or problems:
        raise InputError(in_file_order(problems))
    return hardware


def checked_hardware(data: dict[str, Any]) -> tuple[Hardware | None, list[Finding]]:
    """The hardware that `data` describes, or None and everything that is wrong with it.

    Parts that are validated already, such as an `Array`, are taken as they are.
    """
    filled, found = with_sheet(data)
    try:
        hardware = Hardware.model_validate(filled)
    except ValidationError as error:
        others = findings(error, filled, _hardware_schema())
        return None, [*found, *(f for f in others if not (found and f.path == ("dram",)))]
    return (None if found else hardware), found


def _with_table(data: dict[str, Data], folder: Path) -> dict[str, Data]:
    """`data` with the energy table that it names, if any, in place of the name."""
    named = data.get("energy")
    return {**data, "energy": energy_table(named, folder)} if isinstance(named, str) else data


def _with_files(data: dict[str, Data], folder: Path) -> dict[str, Data]:
    """`data` with its energy table and its DRAM's sheet in place of their names and paths."""
    return with_sheet_file(_with_table(data, folder), folder)


def _in_hardware(document: Document, problem: Problem, path: KeyPath) -> Problem:
    """A problem of a named file: where it stands in that, or at the `path` that names it."""
    return problem if problem.line else document.problem(path, _unplaced(problem))


def _unplaced(problem: Problem) -> str:
    return f"{problem.source}: {problem.message}" if problem.source else problem.message


def _unchecked(document: Document, problems: Sequence[Problem]) -> list[Problem]:
    """What is wrong between buffers, which pydantic checks only where each of them is right."""
    buffers = document.data.get("buffers")
    if not isinstance(buffers, dict) or not any(p.key.startswith("buffers.") for p in problems):
        return []
    holds = [buffer.get("holds") for buffer in buffers.values() if isinstance(buffer, dict)]
    if len(holds) < len(buffers) or not all(_names(operands) for operands in holds):
        return []  # reported where it stands; who holds what cannot be told
    held = dict(zip(buffers, (cast(list[str], operands) for operands in holds), strict=True))
    return [document.problem(("buffers",), message) for message in holding_problems(held)]


def _names(operands: Data) -> bool:
    return isinstance(operands, list) and all(operand in OPERANDS for operand in operands)


@dataclass(frozen=True, slots=True)
class _Setting:
    """A KEY=VALUE as it was written, and its parts."""

    text: str
    path: KeyPath
    value: Data

    @property
    def source(self) -> str:
        return f"--set {self.text}"


def _setting(text: str) -> _Setting:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        message = "expected KEY=VALUE, such as array.rows=64"
        raise InputError(Problem(message=message, source=f"--set {text}"))
    source = f"--set {text}"
    try:
        return _Setting(text, tuple(key.strip().split(".")), read_value(value, source))
    except InputError as error:
        raise InputError(
            Problem(message=each.message, source=source, key=key) for each in error.problems
        ) from None


def _table_setting(setting: _Setting) -> _Setting:
    """The setting with the table or sheet that it names; paths start at the working directory."""
    is_sheet = setting.path == TIMING and names_a_file(setting.value)
    if not isinstance(setting.value, str) or not (is_sheet or setting.path == ("energy",)):
        return setting
    try:
        if is_sheet:
            return replace(setting, value=sheet_in_file(Path(setting.value)))
        return replace(setting, value=energy_table(setting.value, Path()))
    except InputError as error:
        problems = (
            problem if problem.line else Problem(message=_unplaced(problem), source=setting.source)
            for problem in error.problems
        )
        raise InputError(problems) from None


def _apply(data: dict[str, Data], setting: _Setting) -> list[Problem]:
    """Put the setting into `data`, with mappings on the way where there are none."""
    place = data
    for depth, part in enumerate(setting.path[:-1]):
        stood = place.get(str(part))
        inner = {} if stood is None else opened(setting.path[: depth + 1], stood)
        if not isinstance(inner, dict):
            message = f"{dotted(setting.path[: depth + 1])} is no mapping, so it has no keys"
            return [Problem(message=message, source=setting.source)]
        place[str(part)] = inner
        place = inner
    place[str(setting.path[-1])] = setting.value
    return []


def _of_setting(finding: Finding, settings: Sequence[_Setting], keys: Sequence[str]) -> Problem:
    """What is wrong with a setting, and what of the hardware's `keys` may have been meant."""
    setting = _source(finding.path, settings)
    message = with_hint(finding, setting.path, keys)
    return Problem(message=message, source=setting.source, key=dotted(finding.path))


def _source(path: KeyPath, settings: Sequence[_Setting]) -> _Setting:
    """The setting that a problem at `path` comes from: the one with most of the path in common."""

    def in_common(setting: _Setting) -> int:
        pairs = zip(path, setting.path, strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    return max(reversed(settings), key=in_common)
