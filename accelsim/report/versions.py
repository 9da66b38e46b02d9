"""What a result was made with: `accelsim --version --verbose`."""

import platform
import re
import sqlite3
from collections.abc import Iterator
from importlib import metadata

import yaml

from accelsim import __version__
from accelsim.sweep.code import CODE

_REQUIRED = ("numpy", "simpy", "PyYAML", "pydantic", "typer", "rich", "threadpoolctl")
_OPTIONAL = ("distributed", "optuna", "onnx", "matplotlib", "pandas")


def versions_text() -> str:
    """A line for each part: accelsim with the hash of its sources, Python, libraries, system."""
    return "".join(f"{name} {version}\n" for name, version in _versions())


def _versions() -> Iterator[tuple[str, str]]:
    yield "accelsim", f"{__version__}, sources {CODE}"
    yield "Python", f"{platform.python_version()} ({platform.python_implementation()})"
    for name in _libraries():
        yield name, _version(name)
    yield "libyaml", "yes" if hasattr(yaml, "CSafeLoader") else "no"
    yield "SQLite", sqlite3.sqlite_version
    yield "system", platform.platform()


def _libraries() -> list[str]:
    """What is always used and what may be, and whatever else the installed package asks for."""
    try:
        asked = metadata.requires("accelsim") or []
    except metadata.PackageNotFoundError:
        asked = []
    plain = [re.split(r"[^\w.-]", each)[0] for each in asked if "extra ==" not in each]
    known = {name.lower() for name in (*_REQUIRED, *_OPTIONAL)}
    return [*_REQUIRED, *(each for each in plain if each.lower() not in known), *_OPTIONAL]


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
