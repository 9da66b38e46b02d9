"""Whether a name or path means a network or hardware."""

from pathlib import Path
from typing import Literal

from accelsim.errors import InputError, Problem, did_you_mean
from accelsim.frontend.builtin import Kind as Folder
from accelsim.frontend.builtin import builtin_names, builtin_path
from accelsim.frontend.source import read_yaml
from accelsim.text import shown

Kind = Literal["network", "hardware"]


def kind_of(name_or_path: str) -> Kind | None:
    """What a built-in name, or a file's suffix and top-level keys, says it is; None if unclear.

    Raises InputError for a YAML file that cannot be read.
    """
    network = name_or_path in builtin_names("workloads")
    hardware = name_or_path in builtin_names("configs")
    suffix = Path(name_or_path).suffix.lower()
    if not network and not hardware and suffix in (".yaml", ".yml"):
        keys = read_yaml(Path(name_or_path)).data
        network, hardware = "layers" in keys, "array" in keys
    network = network or suffix in (".csv", ".onnx")
    hardware = hardware or suffix == ".cfg"
    if network == hardware:
        return None
    return "network" if network else "hardware"


OTHERS: dict[str, Folder] = {
    "energy table": "configs/energy",
    "sweep": "configs/sweeps",
    "DRAM data sheet": "configs/dram",
}
"""Kinds of built-in files beside networks and hardware, and their folders."""


def other_kind(name: str) -> tuple[str, Path] | None:
    """What else a name or a YAML file is, and its file; None of networks and hardware."""
    if name in (*builtin_names("workloads"), *builtin_names("configs")):
        return None
    for kind, folder in OTHERS.items():
        if name in builtin_names(folder):
            return kind, builtin_path(folder, name)
    path = Path(name)
    if path.suffix.lower() not in (".yaml", ".yml"):
        return None
    keys = read_yaml(path).data.keys()
    told = keys.isdisjoint(("layers", "array"))
    return next(((kind, path) for kind, key in _TELLING.items() if told and key in keys), None)


_TELLING = {"DRAM data sheet": "tCK_ps", "energy table": "register_file", "sweep": "base"}
"""A key that a file of each kind needs and no other kind has."""


def expect_kind(name_or_path: str, every: bool = False) -> Kind:
    """As `kind_of`; raises InputError where unclear, with what there is (of `every` kind)."""
    kind = kind_of(name_or_path)
    if kind is None:
        raise InputError(_unclear(name_or_path, every))
    return kind


def _unclear(name: str, every: bool) -> Problem:
    networks, hardware = builtin_names("workloads"), builtin_names("configs")
    if name in networks:
        message = "is both a network and hardware; give the path of the file you mean"
        return Problem(message=message, source=name)
    if Path(name).suffix.lower() in (".yaml", ".yml"):
        message = "neither a network (it has no `layers`) nor hardware (it has no `array`)"
        if {"layers", "array"} <= read_yaml(Path(name)).data.keys():
            message = "has `layers` like a network and `array` like hardware; make it two files"
        return Problem(message=message, source=name)
    others = {kind: builtin_names(folder) for kind, folder in OTHERS.items() if every}
    hint = did_you_mean(name, networks + hardware + [each for of in others.values() for each in of])
    rest = "".join(f"{kind}s: {', '.join(names)}; " for kind, names in others.items())
    return Problem(
        message=f"no network or hardware is called {shown(name)}; {hint}"
        f"networks: {', '.join(networks)}; hardware: {', '.join(hardware)}; {rest}"
        "or give a file ending in .yaml, .yml, .csv, .onnx, .cfg"
    )
