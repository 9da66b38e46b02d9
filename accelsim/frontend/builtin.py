"""Where the built-in accelerators, energy tables, sweeps (`configs/`) and networks are."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from accelsim.errors import InputError, Problem, did_you_mean
from accelsim.text import shown

Kind = Literal["configs", "configs/energy", "configs/sweeps", "configs/dram", "workloads"]


def builtin_folder(kind: Kind) -> Path:
    """The folder inside an installed package, or beside it in a source checkout."""
    package = Path(__file__).parents[1]
    installed = package / kind
    return installed if installed.is_dir() else package.parent / kind


def builtin_names(kind: Kind) -> list[str]:
    """Names of all built-in files of a kind, sorted."""
    return sorted(path.stem for path in builtin_folder(kind).glob("*.yaml"))


def builtin_path(kind: Kind, name: str) -> Path:
    """The file of a built-in; `name` is one of `builtin_names`."""
    return builtin_folder(kind) / f"{name}.yaml"


_NOUN: dict[Kind, str] = {
    "configs": "hardware",
    "configs/energy": "energy table",
    "configs/sweeps": "sweep",
    "configs/dram": "DRAM data sheet",
    "workloads": "network",
}


def find_file(kind: Kind, name_or_path: str | Path, suffixes: Sequence[str]) -> Path:
    """The built-in file called `name_or_path`, or the path itself if it ends in a suffix.

    Raises InputError for a name that is not built in or a suffix that nothing reads.
    """
    names = builtin_names(kind)
    if isinstance(name_or_path, str) and name_or_path in names:
        return builtin_path(kind, name_or_path)
    path = Path(name_or_path)
    if path.suffix.lower() in suffixes:
        return path
    endings = ", ".join(suffixes)
    if path.suffix or path.name != str(name_or_path) or os.path.exists(path):
        message = f"cannot tell the format; {_NOUN[kind]} files end in {endings}"
        raise InputError(Problem(message=message, source=str(path)))
    hint = did_you_mean(str(name_or_path), names)
    known = f"built in are {', '.join(names)}; or give a file ending in {endings}"
    raise InputError(
        Problem(message=f"unknown {_NOUN[kind]} {shown(str(name_or_path))}; {hint}{known}")
    )
