"""Where the built-in accelerators (`configs/`) and networks (`workloads/`) are."""

from pathlib import Path
from typing import Literal

Kind = Literal["configs", "workloads"]


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
