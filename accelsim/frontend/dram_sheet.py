"""The data sheets of DRAM standards (`configs/dram/*.yaml`), put into what a hardware file says."""

from collections.abc import Container
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from accelsim.dram.sheet import DramTiming
from accelsim.errors import InputError, did_you_mean
from accelsim.frontend.builtin import builtin_folder
from accelsim.frontend.findings import Finding, validation_problems
from accelsim.frontend.source import Data, KeyPath, in_file_order, read_yaml

TIMING: KeyPath = ("dram", "timing")
NEEDED = {name for name, item in DramTiming.model_fields.items() if item.is_required()}
"""What a data sheet must say; a mapping with all of it is one of its own."""
_BANDWIDTH: KeyPath = ("dram", "bandwidth")
_PLAIN_RATE: tuple[KeyPath, ...] = (_BANDWIDTH, ("dram", "latency"), ("dram", "burst"))


def dram_standards() -> list[str]:
    """Names of all data sheets, sorted."""
    return sorted(path.stem for path in (builtin_folder("configs") / "dram").glob("*.yaml"))


def dram_sheet(standard: str) -> DramTiming:
    """The data sheet of a standard; InputError if its file is wrong or not there."""
    document = read_yaml(builtin_folder("configs") / "dram" / f"{standard}.yaml")
    try:
        return DramTiming.model_validate(document.data)
    except ValidationError as error:
        schema = DramTiming.model_json_schema()
        raise InputError(validation_problems(error, document, schema)) from None


def sheet_in_file(path: Path) -> dict[str, Data]:
    """The content of a data sheet of the user's own; raises InputError with all that is wrong."""
    document = read_yaml(path)
    problems = list(document.problems)
    try:
        DramTiming.model_validate(document.data)
    except ValidationError as error:
        problems += validation_problems(error, document, DramTiming.model_json_schema())
    if problems:
        raise InputError(in_file_order(problems))
    return document.data


def names_a_file(timing: Data) -> bool:
    """Whether a timing is the path of a data sheet."""
    return isinstance(timing, str) and timing.lower().endswith((".yaml", ".yml"))


def with_sheet_file(data: dict[str, Data], folder: Path) -> dict[str, Data]:
    """`data` of a hardware file with the sheet in place whose path, from `folder`, it gives."""
    dram = data.get("dram")
    timing = dram.get("timing") if isinstance(dram, dict) else None
    if not isinstance(dram, dict) or not isinstance(timing, str) or not names_a_file(timing):
        return data
    return {**data, "dram": {**dram, "timing": sheet_in_file(folder / timing)}}


def with_sheet(data: dict[str, Data]) -> tuple[dict[str, Data], list[Finding]]:
    """`data` of a hardware file with the data sheet that it names filled in, and what is wrong.

    What the file gives beside the name of the standard replaces the data sheet's.
    """
    dram = data.get("dram")
    timing = dram.get("timing") if isinstance(dram, dict) else None
    if not isinstance(dram, dict) or timing is None:
        return data, []
    path, given = TIMING, timing if isinstance(timing, dict) else {"standard": timing}
    if isinstance(timing, dict) and "standard" in timing:
        path = (*TIMING, "standard")
    name, known = given.get("standard"), dram_standards()
    if name not in known and isinstance(name, str) and given.keys() >= NEEDED:
        return data, []
    if name not in known:
        problem = Finding(path, _unknown(name, known, _own(given)))
        return {**data, "dram": {**dram, "timing": None}}, [problem]
    filled: dict[str, Any] = {**dram_sheet(str(name)).model_dump(exclude_none=True), **given}
    return {**data, "dram": {**dram, "timing": filled}}, []


def replaced_by(path: KeyPath, value: Data) -> tuple[KeyPath, ...]:
    """What else a setting of a base takes the place of: a DRAM is a plain rate or a standard."""
    if value is None:
        return ()
    if path[: len(TIMING)] == TIMING:
        return _PLAIN_RATE
    return (TIMING,) if path == _BANDWIDTH else ()


def without(data: dict[str, Data], paths: Container[KeyPath]) -> dict[str, Data]:
    """`data` of a hardware file without these keys of its DRAM."""
    dram = data.get("dram")
    if not isinstance(dram, dict):
        return data
    return {**data, "dram": {key: dram[key] for key in dram if ("dram", key) not in paths}}


def opened(path: KeyPath, data: Data) -> Data:
    """What stands at `path`, as a mapping where it is the mere name of a standard."""
    return {"standard": data} if path == TIMING and isinstance(data, str) else data


def _own(given: Container[str]) -> str:
    """How to make a sheet of one's own, or what one that is nearly there lacks."""
    lacking = [name for name in DramTiming.model_fields if name in NEEDED and name not in given]
    if 2 * len(lacking) > len(NEEDED):
        return "or give all of its data sheet, or the path of one (.yaml)"
    return f"and a data sheet of its own lacks {', '.join(lacking)}"


def _unknown(name: Data, known: list[str], own: str) -> str:
    if not isinstance(name, str):
        return f"expected the name of a DRAM standard, such as {known[0]}"
    hint = did_you_mean(name, known)
    return f"unknown DRAM standard {name!r}; {hint}there are {', '.join(known)}; {own}"
