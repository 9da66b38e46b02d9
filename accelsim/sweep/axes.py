"""The keys of a sweep file as settings: the axes of its matrix, what is included and excluded."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, combinations

from accelsim.errors import InputError, Problem
from accelsim.frontend.dram_sheet import TIMING, replaced_by
from accelsim.frontend.findings import unknown
from accelsim.frontend.source import Data, KeyPath, dotted, in_file_order
from accelsim.frontend.sweep_file import SweepFile
from accelsim.hardware import Hardware
from accelsim.sweep.content import LABELS, comparable, plain
from accelsim.sweep.records import Value

NETWORK: KeyPath = ("network",)
BATCH: KeyPath = ("batch",)
ENERGY: KeyPath = ("energy",)

_ALIASES = {"dataflow": "array.dataflow"}
_TIMING = dotted(TIMING)
_TOGETHER = "hardware"
"""The key whose values are mappings of any hardware keys."""
_KEYS = {*Hardware.model_fields, *_ALIASES, "network", "batch", _TOGETHER} - {*LABELS}
"""What a key may be, or start with."""


@dataclass(frozen=True)
class Setting:
    """One value for one key; `origin` is where the sweep file says so."""

    path: KeyPath
    value: Data
    origin: KeyPath

    @cached_property
    def key(self) -> str:
        """The key as people write it."""
        return dotted(self.path)

    @cached_property
    def replaces(self) -> tuple[KeyPath, ...]:
        """Keys of the base that have no value beside this one."""
        return replaced_by(self.path, self.value)

    @cached_property
    def shown(self) -> Value:
        """The value for people."""
        return plain(self.value)

    @cached_property
    def name(self) -> str:
        """Different for different settings."""
        return f"{self.key}={self.value!r}"


Settings = Sequence[Setting]


@dataclass(frozen=True, slots=True)
class Axis:
    """A key of the matrix and its choices, each of one or more settings that move together."""

    key: str
    choices: tuple[tuple[Setting, ...], ...]

    @property
    def values(self) -> tuple[Value, ...]:
        """The choices as people read them."""
        return tuple(self._text(choice) for choice in self.choices)

    @property
    def paths(self) -> tuple[KeyPath, ...]:
        """Every key that it sets."""
        return tuple(dict.fromkeys(each.path for choice in self.choices for each in choice))

    def _text(self, choice: Settings) -> Value:
        """A value, or `rows=8 cols=128` for keys that move together."""
        if len(choice) == 1 and choice[0].key == self.key:
            return choice[0].shown
        parts = (f"{each.key.removeprefix(f'{self.key}.')}={each.shown}" for each in choice)
        return " ".join(parts) or "as the base"


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Leaves out points that have, for each key, one of some values in comparable form."""

    accepted: tuple[tuple[KeyPath, frozenset[object]], ...]

    def matches(self, values: Mapping[KeyPath, Data], base: Mapping[str, Data]) -> bool:
        """Whether a point is meant; what it does not set is as in the base."""
        return all(
            comparable(values[path] if path in values else value_at(base, path)) in accepted
            for path, accepted in self.accepted
        )


class Findings:
    """What is wrong with a sweep, each problem once, by its place in the sweep file."""

    def __init__(self, file: SweepFile) -> None:
        self.file = file
        self._problems: dict[tuple[str, int, int, str], Problem] = {}

    def __len__(self) -> int:
        return len(self._problems)

    def add(self, problem: Problem) -> None:
        """Keep a problem; the same one of another point is no second problem."""
        same = problem.message.partition(" (in the point ")[0]
        place = (problem.source, problem.line, problem.column, same)
        self._problems.setdefault(place, problem)

    def at(self, path: KeyPath, message: str, at_key: bool = False) -> None:
        """Something is wrong with the value (or the key) at `path`."""
        self.add(self.file.problem(path, message, at_key))

    def in_named_file(self, error: InputError, path: KeyPath) -> None:
        """What is wrong in a file that the sweep names: there, or where it is named."""
        for problem in error.problems:
            said = (problem.source, problem.key, problem.message)
            told = ": ".join(part for part in said if part)
            self.add(problem if problem.line else self.file.problem(path, told))

    def beside(self, known: Sequence[Problem]) -> list[Problem]:
        """All of them, and those known before; what lies within a known one follows from it."""
        places = tuple(problem.key for problem in known if problem.key)
        within = tuple(f"{place}{mark}" for place in places for mark in ".[")
        new = (
            problem
            for problem in self._problems.values()
            if problem.key not in places and not problem.key.startswith(within)
        )
        return in_file_order([*known, *new])

    def within(self, *keys: str) -> bool:
        """Whether anything is wrong in one of these keys of the sweep file."""
        source = self.file.source
        problems = self._problems.values()
        return any(it.key.startswith(keys) for it in problems if it.source == source)

    def complain(self) -> None:
        """Raise InputError if anything is wrong."""
        if self._problems:
            raise InputError(in_file_order(self._problems.values()))


def axes_of(file: SweepFile, found: Findings) -> tuple[Axis, ...]:
    """The axes, the networks' first."""
    axes: dict[KeyPath, Axis] = {}
    if file.networks:
        named = enumerate(file.networks)
        networks = (Setting(NETWORK, name, ("networks", index)) for index, name in named)
        axes["networks",] = Axis("network", tuple((network,) for network in networks))
    for key, values in file.matrix.items():
        origins = ((("matrix", key, index), value) for index, value in enumerate(values))
        choices = tuple(tuple(_settings(key, value, at, found)) for at, value in origins)
        axes["matrix", key] = Axis(_ALIASES.get(key, key), choices)
    for (place, axis), (other_place, other) in combinations(axes.items(), 2):
        for path in other.paths:
            if any(_overlap(path, taken) for taken in axis.paths):
                message = f"{dotted(path)} is set by {dotted(place)}, too; keep one of them"
                found.at(other_place, message, at_key=True)
    return tuple(axes.values())


def _overlap(path: KeyPath, other: KeyPath) -> bool:
    """Whether two keys are the same, or one lies within the other."""
    length = min(len(path), len(other))
    return path[:length] == other[:length]


def inclusions_of(file: SweepFile, axes: Sequence[Axis], found: Findings) -> list[Settings]:
    """The settings of each point that is included, for every network where none is named."""
    networks = next((axis.choices for axis in axes if axis.key == "network"), ())
    included: list[Settings] = []
    for index, entry in enumerate(file.include):
        settings = _entry(entry, ("include", index), found)
        named = any(setting.path == NETWORK for setting in settings)
        included += [settings] if named else [(*network, *settings) for network in networks]
    return included


def exclusions_of(file: SweepFile, known: Iterable[str], found: Findings) -> list[Exclusion]:
    """What is left out; `known` are the keys that a point can have."""
    names = {*known, "batch", "network"}
    exclusions = []
    for index, entry in enumerate(file.exclude):
        settings = _entry(entry, ("exclude", index), found)
        for setting in settings:
            if setting.key not in names:
                found.at(setting.origin, unknown("key", setting.key, names), at_key=True)
        exclusions.append(Exclusion(tuple((each.path, _any_of(each.value)) for each in settings)))
    return exclusions


def _any_of(value: Data) -> frozenset[object]:
    return frozenset(comparable(each) for each in (value if isinstance(value, list) else [value]))


def _entry(entry: Mapping[str, Data], place: KeyPath, found: Findings) -> tuple[Setting, ...]:
    """The settings of an entry of `include` or `exclude`."""
    settings = (_settings(key, value, (*place, key), found) for key, value in entry.items())
    return tuple(chain.from_iterable(settings))


def _settings(key: str, value: Data, origin: KeyPath, found: Findings) -> Iterator[Setting]:
    """One setting, or those of a mapping of keys that move together.

    A DRAM standard with what is different from its data sheet is one: other standards' differences
    are not kept.
    """
    if isinstance(value, dict) and not (key == _TIMING and "standard" in value):
        prefix = "" if key == _TOGETHER else f"{key}."
        for inner, part in value.items():
            yield from _settings(f"{prefix}{inner}", part, (*origin, inner), found)
    elif key == _TOGETHER:
        found.at(origin, "expected a mapping of hardware keys, such as {array.rows: 8}")
    elif key in LABELS:
        found.at(origin, f"{key} changes no result, so it cannot be swept", at_key=True)
    else:
        path = tuple(_ALIASES.get(key, key).split("."))
        if path[0] in _KEYS:
            yield Setting(path, value, origin)
        else:
            place = origin[:-1] if isinstance(origin[-1], int) else origin
            found.at(place, unknown("key", path[0], _KEYS), at_key=True)


def value_at(data: Mapping[str, Data], path: KeyPath) -> Data:
    """What a hardware file has for a key; None where it says nothing, 1 for the batch."""
    if path == BATCH:
        return 1
    value: Data = dict(data)
    for part in path:
        value = value.get(str(part)) if isinstance(value, dict) else None
    return value


def keys_of(data: Mapping[str, Data], prefix: str = "") -> Iterator[str]:
    """Dotted keys of all values of a hardware file."""
    for key, value in data.items():
        if isinstance(value, dict):
            yield from keys_of(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
