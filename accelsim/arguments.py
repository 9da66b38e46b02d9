"""Arguments of the functions that notebooks call: of a wrong kind they are told, as files are."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import signature
from operator import index
from typing import ParamSpec, TypeVar

from accelsim.errors import InputError, Problem
from accelsim.text import shown

P = ParamSpec("P")
R = TypeVar("R")
Kind = Callable[[object], object]
"""Takes a value, and returns it as it is used; raises ValueError with what is expected."""

LARGEST_SEED = 2**63


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """The function, whose arguments are what their names say; InputError tells all that are not."""
    said = signature(function)

    @wraps(function)
    def called(*arguments: P.args, **named: P.kwargs) -> R:
        given = said.bind(*arguments, **named)
        problems = []
        for name, value in given.arguments.items():
            if name not in KINDS or value is said.parameters[name].default:
                continue
            try:
                given.arguments[name] = KINDS[name](value)
            except ValueError as expected:
                found = " ".join(shown(value).split())
                problems.append(Problem(f"expected {expected}, found {found}", key=name))
        if problems:
            raise InputError(problems)
        return function(*given.args, **given.kwargs)

    return called


def whole(value: object) -> int:
    """A whole number as Python's own, also of one of NumPy's."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError("a whole number")
    try:
        return index(value)
    except TypeError:
        raise ValueError("a whole number") from None


def seed(value: object) -> int:
    """A whole number that a generator begins with."""
    number = whole(value)
    if not 0 <= number < LARGEST_SEED:
        raise ValueError("a whole number from 0 to 2**63 - 1")
    return number


def text(value: object) -> str:
    """Text."""
    if not isinstance(value, str):
        raise ValueError("text")
    return value


def texts(value: object) -> object:
    """Several texts."""
    if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, frozenset, set)):
        raise ValueError("a list of texts")
    if not all(isinstance(each, str) for each in value):
        raise ValueError("a list of texts")
    return value


def text_or_texts(value: object) -> object:
    """One text, or several."""
    return value if isinstance(value, str) else texts(value)


def place(value: object) -> object:
    """A name or a path."""
    if not isinstance(value, str) and not isinstance(_path(value), str):
        raise ValueError("a name or a path")
    return value


def _path(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else None


def ours_or_place(value: object) -> object:
    """What accelsim has loaded, or a name or a path of it."""
    if type(value).__module__.partition(".")[0] == "accelsim":
        return value
    try:
        return place(value)
    except ValueError:
        raise ValueError("a name, a path, or what was loaded from one") from None


def several(value: object) -> object:
    """One of these, or several."""
    if isinstance(value, (list, tuple)) and value:
        return [ours_or_place(each) for each in value]
    return ours_or_place(value)


def mapping_or_place(value: object) -> object:
    """A mapping, or the path of one."""
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return value
    try:
        return place(value)
    except ValueError:
        raise ValueError("a path, or a mapping by names") from None


KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("batch", "past", "jobs"), whole),
    "seed": seed,
    **dict.fromkeys(("dataflow", "layer", "loss", "optimizer", "scheduler"), text),
    **dict.fromkeys(("set", "settings", "outputs", "layers"), texts),
    "dataflows": text_or_texts,
    **dict.fromkeys(("trace", "trace_dram", "results", "path", "name_or_path"), place),
    "network": ours_or_place,
    "hardware": several,
    "networks": several,
    **dict.fromkeys(("mapping", "source", "inputs"), mapping_or_place),
}
"""What an argument of a name is."""
