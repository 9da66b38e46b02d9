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

LARGEST_SEED = 2**63 - 1
MOST_BITS = 2000
"""Of a number that messages can tell: Python writes no more than 4,300 digits."""


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """The function, whose arguments are what their names say; InputError tells all that are not."""
    said = signature(function)
    kinds = {
        name: KINDS.get(f"{function.__name__}.{name}") or KINDS.get(name)
        for name in said.parameters
    }

    @wraps(function)
    def called(*arguments: P.args, **named: P.kwargs) -> R:
        given = said.bind(*arguments, **named)
        problems = []
        for name, value in given.arguments.items():
            kind = kinds[name]
            if kind is None or value is said.parameters[name].default:
                continue
            try:
                given.arguments[name] = kind(value)
            except ValueError as expected:
                found = " ".join(shown(value).split())
                problems.append(Problem(message=f"expected {expected}, found {found}", key=name))
        if problems:
            raise InputError(problems)
        return function(*given.args, **given.kwargs)

    return called


def whole(value: object) -> int:
    """A whole number as Python's own, also of one of NumPy's."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError("a whole number")
    try:
        number = index(value)
    except Exception:  # of an array, or of whatever an object does
        raise ValueError("a whole number") from None
    if number.bit_length() > MOST_BITS:
        raise ValueError("a whole number that can be written")
    return number


def seed(value: object) -> int:
    """A whole number that a generator begins with."""
    number = whole(value)
    if not 0 <= number <= LARGEST_SEED:
        raise ValueError("a whole number from 0 to 2**63 - 1")
    return number


def yes_or_no(value: object) -> bool:
    """True or False, also NumPy's."""
    if not isinstance(value, bool) and type(value).__name__ not in ("bool", "bool_"):
        raise ValueError("True or False")
    return bool(value)


def callback(value: object) -> object:
    """A function."""
    if not callable(value):
        raise ValueError("a function")
    return value


def sizes(value: object) -> dict[str, int]:
    """Whole numbers by name."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError("whole numbers by name")
    try:
        return {key: whole(each) for key, each in value.items()}
    except ValueError:
        raise ValueError("whole numbers by name") from None


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
    """What an object says that its path is; None where it is no path."""
    try:
        return os.fspath(value) if isinstance(value, os.PathLike) else None
    except Exception:  # of whatever an object does
        return None


def loaded(kind: str) -> Kind:
    """What accelsim has loaded of such a kind, or a name or a path of it."""

    def ours_or_place(value: object) -> object:
        if _is_ours(value, kind):
            return value
        try:
            return place(value)
        except ValueError:
            raise ValueError("a name, a path, or what was loaded from one") from None

    return ours_or_place


def several(kind: str) -> Kind:
    """One of these, or a list of several."""
    one = loaded(kind)

    def one_or_several(value: object) -> object:
        if isinstance(value, (list, tuple)) and value:
            return [one(each) for each in value]
        return one(value)

    return one_or_several


def memory(value: object) -> object:
    """What searches have found."""
    if not _is_ours(value, "Memory"):
        raise ValueError("a Memory of accelsim")
    return value


def _is_ours(value: object, kind: str) -> bool:
    """Whether a value is of our class of this name, which comes after this module."""
    return any(
        each.__name__ == kind and each.__module__.partition(".")[0] == "accelsim"
        for each in type(value).__mro__
    )


def mapping_or_place(value: object) -> object:
    """A mapping, or the path of one."""
    if _is_ours(value, "Source"):
        return value
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return value
    try:
        return place(value)
    except ValueError:
        raise ValueError("a path, or a mapping by names") from None


KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("batch", "past", "jobs"), whole),
    "seed": seed,
    **dict.fromkeys(("tiles", "recompute", "retry_failed", "free"), yes_or_no),
    "progress": callback,
    "dims": sizes,
    "memory": memory,
    **dict.fromkeys(("dataflow", "layer", "loss", "optimizer", "scheduler"), text),
    **dict.fromkeys(("set", "settings", "outputs", "layers"), texts),
    **dict.fromkeys(("dataflows", "only"), text_or_texts),
    **dict.fromkeys(
        ("trace", "trace_dram", "trace_sram", "results", "path", "name", "name_or_path"), place
    ),
    "network": loaded("Network"),
    "hardware": loaded("Hardware"),
    "networks": several("Network"),
    "compare.hardware": several("Hardware"),
    **dict.fromkeys(("from_torch.name", "layer.name", "outcome.name", "real.name"), text),
    **dict.fromkeys(("mapping", "source", "inputs"), mapping_or_place),
}
"""What an argument of a name is, or that of one function."""
