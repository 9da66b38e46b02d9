"""The points of a sweep: which there are, and what each of them is, all checked before any runs."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from itertools import chain, product
from math import prod
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from accelsim.errors import InputError, Problem
from accelsim.facade import LARGEST_BATCH
from accelsim.frontend import load_network
from accelsim.frontend.energy_file import energy_table
from accelsim.frontend.findings import Finding, unknown
from accelsim.frontend.hardware_file import checked_hardware, hardware_data
from accelsim.frontend.source import Data, KeyPath, dotted, in_file_order
from accelsim.frontend.sweep_file import Search, SweepFile
from accelsim.hardware import Hardware
from accelsim.network.graph import Network
from accelsim.sweep.quantities import (
    ENERGY_QUANTITIES,
    HARDWARE_QUANTITIES,
    Constraint,
    Objectives,
    feasible,
    hardware_quantities,
    quantity_names,
)
from accelsim.sweep.records import Point, Value
from accelsim.units import parse_quantity

NETWORK: KeyPath = ("network",)
BATCH: KeyPath = ("batch",)
_ALIASES = {"dataflow": "array.dataflow"}
_TOGETHER = "hardware"
_LABELS = ("name", "description")
_MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Setting:
    """One value for one key; `origin` is where the sweep file says so."""

    path: KeyPath
    value: Data
    origin: KeyPath

    @property
    def key(self) -> str:
        """The key as people write it."""
        return dotted(self.path)


@dataclass(frozen=True, slots=True)
class Axis:
    """A key of the matrix and its choices, each of one or more settings that move together."""

    key: str
    choices: tuple[tuple[Setting, ...], ...]

    @property
    def values(self) -> tuple[Value, ...]:
        """The choices as people read them."""
        return tuple(_choice_text(choice) for choice in self.choices)

    @property
    def paths(self) -> frozenset[KeyPath]:
        """Every key that it sets."""
        return frozenset(setting.path for choice in self.choices for setting in choice)


@dataclass(frozen=True, slots=True)
class Census:
    """What became of the combinations: of `grid` many, and `included` ones, `points` are left.

    `excluded` counts for each entry of `exclude` what it left out, `infeasible` what constraints
    on hardware did, `repeated` points equal to an earlier one. `versions` counts for each part of
    the hardware how many different ones there are.
    """

    grid: int
    included: int
    excluded: tuple[int, ...]
    infeasible: int
    repeated: int
    points: int
    versions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A resolved sweep.

    `points` are those to run first: the matrix and what is included, or with `search` only what
    is included, and `point` gives the others. `networks` holds each network by the name that its
    points have. A results file belongs to the sweep of one name, its `identity`; `content` is a
    hash of all that decides which points there are.
    """

    name: str
    source: str
    points: tuple[Point, ...]
    axes: tuple[Axis, ...]
    objectives: Objectives
    constraints: tuple[Constraint, ...]
    search: Search | None
    timeout_s: float | None
    networks: Mapping[str, Network]
    content: str
    census: Census
    space: "Space" = field(repr=False, compare=False)

    @property
    def identity(self) -> str:
        """What a results file is asked for."""
        return self.name

    def point(self, choice: Sequence[int]) -> Point | None:
        """The point of one choice of each axis, by index; None if it is left out.

        Raises InputError for a combination that is no hardware.
        """
        pairs = zip(self.axes, choice, strict=True)
        settings = [setting for axis, index in pairs for setting in axis.choices[index]]
        return self.space.admitted(settings)


def resolve(sweep_file: SweepFile) -> Sweep:
    """Every point of a sweep file, checked: networks, hardware, keys and quantities.

    Raises InputError with everything that is wrong, by line. Whether layers fit the buffers is
    not checked: that takes the search of a run, and a point that does not fit is a failed row.
    """
    space = Space(sweep_file)
    space.complain()
    grid = prod(len(axis.choices) for axis in space.axes)
    if not sweep_file.search:
        _refuse_too_many(sweep_file, grid)
    points, repeated = _distinct(space)
    space.complain()
    if not points and not sweep_file.search:
        message = "no point is left; loosen `exclude` or the constraints on hardware"
        raise InputError(sweep_file.problem((), message))
    return Sweep(
        name=sweep_file.name,
        source=sweep_file.source,
        points=points,
        axes=space.axes,
        objectives=sweep_file.objectives,
        constraints=space.constraints,
        search=sweep_file.search,
        timeout_s=sweep_file.timeout_s,
        networks=space.networks,
        content=_content(sweep_file, points),
        census=Census(
            grid=grid,
            included=len(space.included),
            excluded=tuple(space.excluded),
            infeasible=space.infeasible,
            repeated=repeated,
            points=len(points),
            versions=space.versions,
        ),
        space=space,
    )


def _refuse_too_many(sweep_file: SweepFile, grid: int) -> None:
    if grid > sweep_file.max_points:
        message = (
            f"{grid:,} combinations are more than max_points, {sweep_file.max_points:,}; raise "
            "it, take fewer values, or sample them with `search: {method: nsga2, trials: 500}`"
        )
        raise InputError(sweep_file.problem(("matrix",), message, at_key=True))


def _distinct(space: "Space") -> tuple[tuple[Point, ...], int]:
    """The points to run, each once, and how many were repeats."""
    found: dict[str, Point] = {}
    count = 0
    for point in space.points():
        count += 1
        found.setdefault(point.key, point)
    return tuple(found.values()), count - len(found)


def _content(sweep_file: SweepFile, points: Iterable[Point]) -> str:
    said = sweep_file.model_dump(include={"matrix", "exclude", "search"}, mode="json")
    keys = [point.key for point in points]
    return sha256(json.dumps([said, keys], sort_keys=True).encode()).hexdigest()


# --- The space ------------------------------------------------------------------------------------


class Space:
    """What makes points of settings. Networks, base and parts of the hardware are checked once.

    `problems` gathers what is wrong on the way.
    """

    def __init__(self, sweep_file: SweepFile) -> None:
        self.file = sweep_file
        self.problems: dict[tuple[str, int, int, str], Problem] = {}
        self.networks: dict[str, Network] = {}
        self.infeasible = 0
        self.excluded = [0] * len(sweep_file.exclude)
        self._labels: dict[str, str] = {}
        self._digests: dict[str, str] = {}
        self._base = self._load_base()
        self.axes = self._axes()
        self._exclude = [
            [self._filter(setting) for setting in self._settings(entry, ("exclude", index))]
            for index, entry in enumerate(sweep_file.exclude)
        ]
        self.included = [
            settings
            for index, entry in enumerate(sweep_file.include)
            for settings in self._for_every_network(self._settings(entry, ("include", index)))
        ]
        self._check_networks()
        self._check_quantities()
        self.constraints = tuple(
            Constraint(name, bounds.min, bounds.max)
            for name, bounds in sweep_file.constraints.items()
        )
        self._bounds_of_hardware = [
            each for each in self.constraints if each.quantity in HARDWARE_QUANTITIES
        ]
        self._hardware_checked: dict[str, tuple[Hardware, str, bool]] = {}
        self._parts: dict[str, Any] = {}
        self._texts: dict[str, str] = {}
        self._parameters = self._base_parameters()

    # --- Points

    def points(self) -> Iterator[Point]:
        """Those of the matrix, unless it is sampled, then the included ones; not yet distinct."""
        grid = product(*(axis.choices for axis in self.axes)) if not self.file.search else iter(())
        for choice in grid:
            point = self._gathered(list(chain.from_iterable(choice)), self.admitted)
            if point:
                yield point
        for settings in self.included:
            point = self._gathered(settings, self.point)
            if point:
                yield point

    def _gathered(self, settings: Sequence[Setting], make: Any) -> Point | None:
        """The point, or None with its problems noted."""
        if len(self.problems) >= _MOST_PROBLEMS:
            return None
        try:
            made: Point | None = make(settings)
        except InputError as error:
            for problem in error.problems:
                self.note(problem)
            return None
        return made

    def admitted(self, settings: Sequence[Setting]) -> Point | None:
        """The point, or None if the sweep leaves it out; raises InputError."""
        values = {setting.path: setting.value for setting in settings}
        for index, filters in enumerate(self._exclude):
            if all(self._value(path, values) in accepted for path, accepted in filters):
                self.excluded[index] += 1
                return None
        return self.point(settings)

    def point(self, settings: Sequence[Setting]) -> Point | None:
        """The point, or None if a constraint on hardware leaves it out; raises InputError."""
        values = {setting.path: setting.value for setting in settings}
        label = str(values.get(NETWORK, next(iter(self._labels), "")))
        batch = self._batch(settings)
        hardware, text, allowed = self._hardware(settings)
        if not allowed:
            self.infeasible += 1
            return None
        said = {dotted(path): _plain(value) for path, value in values.items()}
        network = self._labels[label]
        content = f"{self._digests[network]} {batch} {text}"
        return Point(
            key=sha256(content.encode()).hexdigest()[:32],
            network=network,
            hardware=hardware,
            batch=batch,
            parameters={**self._parameters, "network": label, **said},
        )

    def _batch(self, settings: Iterable[Setting]) -> int:
        for setting in settings:
            if setting.path == BATCH:
                batch = setting.value
                if isinstance(batch, bool) or not isinstance(batch, int):
                    message = f"expected a whole number, found {batch!r}"
                elif not 1 <= batch <= LARGEST_BATCH:
                    message = f"use at least 1 and at most {LARGEST_BATCH:,} images, found {batch}"
                else:
                    return batch
                raise InputError(self.file.problem(setting.origin, message))
        return 1

    def _hardware(self, settings: Sequence[Setting]) -> tuple[Hardware, str, bool]:
        """A hardware, its content as text, and whether the constraints on hardware hold."""
        by_part: dict[str, list[Setting]] = {}
        for setting in settings:
            if setting.path not in (NETWORK, BATCH):
                by_part.setdefault(str(setting.path[0]), []).append(setting)
        names = {part: _choice_key(part, chosen) for part, chosen in sorted(by_part.items())}
        name = "; ".join(names.values())
        if name not in self._hardware_checked:
            made = self._checked(by_part, settings)
            text = self._text(made, names)
            allowed = feasible(hardware_quantities(made), self._bounds_of_hardware)
            self._hardware_checked[name] = made, text, allowed
        return self._hardware_checked[name]

    def _checked(
        self, by_part: Mapping[str, Sequence[Setting]], settings: Sequence[Setting]
    ) -> Hardware:
        """The base with the settings; a part that was right before is not checked again."""
        raw = {part: self._varied(part, chosen) for part, chosen in by_part.items()}
        names = {part: _choice_key(part, by_part.get(part, ())) for part in {**self._base, **raw}}
        data = {
            part: self._parts.get(name, raw.get(part, self._base.get(part)))
            for part, name in names.items()
        }
        hardware, found = checked_hardware(data)
        if hardware is None:
            _, found = checked_hardware({**self._base, **raw})
            raise InputError([self._located(each, settings) for each in found])
        for part, name in names.items():
            checked = getattr(hardware, part)
            if _is_checked_part(checked):
                self._parts[name] = checked
        return hardware

    def _varied(self, part: str, settings: Iterable[Setting]) -> Data:
        """A part of the base's content with other values; raises InputError."""
        data: Data = self._base.get(part)
        for setting in settings:
            data = self._replaced(data, setting, 1)
        return data

    def _replaced(self, data: Data, setting: Setting, depth: int) -> Data:
        if depth == len(setting.path):
            return setting.value
        if data is not None and not isinstance(data, dict):
            message = f"{dotted(setting.path[:depth])} is no mapping, so it has no keys"
            raise InputError(self.file.problem(setting.origin, message, at_key=True))
        part = str(setting.path[depth])
        inner = data or {}
        return {**inner, part: self._replaced(inner.get(part), setting, depth + 1)}

    def _text(self, hardware: Hardware, names: Mapping[str, str]) -> str:
        """All that can change a result, and nothing else: no names, no defaults."""
        texts = []
        for part in sorted({**self._base, **names}):
            name = names.get(part, part)
            if name not in self._texts:
                self._texts[name] = canonical(hardware, part)
            texts.append(self._texts[name])
        return "\n".join(text for text in texts if text)

    @property
    def versions(self) -> dict[str, int]:
        """How many different versions of each part of the hardware the points have."""
        found: dict[str, set[str]] = {}
        for hardware_text in {text for _, text, allowed in self._hardware_checked.values() if allowed}:
            for line in hardware_text.split("\n"):
                found.setdefault(line.partition(" ")[0], set()).add(line)
        return {part: len(lines) for part, lines in found.items()}

    # --- What the file says

    def complain(self) -> None:
        """Raise InputError if anything was wrong."""
        if self.problems:
            raise InputError(in_file_order(self.problems.values()))

    def note(self, problem: Problem) -> None:
        """Keep a problem, each once."""
        place = (problem.source, problem.line, problem.column, problem.message.split(" (in ")[0])
        self.problems.setdefault(place, problem)

    def _wrong(self, path: KeyPath, message: str, at_key: bool = False) -> None:
        self.note(self.file.problem(path, message, at_key))

    def _load_base(self) -> dict[str, Data]:
        try:
            return hardware_data(self._named(self.file.base))
        except InputError as error:
            self._note_from_other_file(error, ("base",))
            return {}

    def _named(self, name: str) -> str:
        """A built-in name as it is, a path from the sweep file's folder."""
        return str(self.file.folder / name) if Path(name).suffix else name

    def _note_from_other_file(self, error: InputError, path: KeyPath) -> None:
        """What is wrong in a file that the sweep names: there, or where it is named."""
        for problem in error.problems:
            told = f"{problem.source}: {problem.message}" if problem.source else problem.message
            self.note(problem if problem.line else self.file.problem(path, told))

    def _axes(self) -> tuple[Axis, ...]:
        """The axes of the file, the networks first."""
        axes = []
        if self.file.networks:
            networks = enumerate(self.file.networks)
            choices = [(Setting(NETWORK, name, ("networks", index)),) for index, name in networks]
            axes.append(Axis("network", tuple(choices)))
        for key, values in self.file.matrix.items():
            origins = ((("matrix", key, index), value) for index, value in enumerate(values))
            choices = [tuple(self._flattened(key, value, origin)) for origin, value in origins]
            axes.append(Axis(_ALIASES.get(key, key), tuple(choices)))
        self._check_overlaps(axes)
        return tuple(axes)

    def _check_overlaps(self, axes: Sequence[Axis]) -> None:
        """No key is set by two axes, nor within another's."""
        owners: dict[KeyPath, str] = {}
        for axis in axes:
            for path in sorted(axis.paths, key=str):
                for other, owner in owners.items():
                    length = min(len(path), len(other))
                    if owner != axis.key and path[:length] == other[:length]:
                        message = f"{dotted(path)} is set by {owner} already; move one of them"
                        self._wrong(("matrix", axis.key), message, at_key=True)
            owners |= dict.fromkeys(axis.paths, axis.key)

    def _settings(self, entry: Mapping[str, Data], place: KeyPath) -> tuple[Setting, ...]:
        """The settings of an entry of `include` or `exclude`."""
        flattened = (self._flattened(key, value, (*place, key)) for key, value in entry.items())
        return tuple(chain.from_iterable(flattened))

    def _flattened(self, key: str, value: Data, origin: KeyPath) -> Iterator[Setting]:
        """One setting, or those of a mapping of keys that move together."""
        if isinstance(value, dict):
            prefix = "" if key == _TOGETHER else f"{key}."
            for inner, part in value.items():
                yield from self._flattened(f"{prefix}{inner}", part, (*origin, inner))
        elif key == _TOGETHER:
            self._wrong(origin, "expected a mapping of hardware keys, such as {array.rows: 8}")
        else:
            path = tuple(_ALIASES.get(key, key).split("."))
            if path[0] in _LABELS:
                self._wrong(origin, f"{key} changes no result, so it cannot be swept", at_key=True)
            yield Setting(path, self._with_table(path, value, origin), origin)

    def _with_table(self, path: KeyPath, value: Data, origin: KeyPath) -> Data:
        """An energy table's name as it is; that there is one is checked here."""
        if path == ("energy",) and isinstance(value, str):
            try:
                energy_table(value, self.file.folder)
            except InputError as error:
                self._note_from_other_file(error, origin)
        return value

    def _for_every_network(self, settings: tuple[Setting, ...]) -> list[tuple[Setting, ...]]:
        if any(setting.path == NETWORK for setting in settings):
            return [settings]
        choices = next((axis.choices for axis in self.axes if axis.key == "network"), ())
        return [(*network, *settings) for network in choices]

    def _filter(self, setting: Setting) -> tuple[KeyPath, frozenset[object]]:
        """A key and the values that an entry of `exclude` means."""
        swept = frozenset(chain.from_iterable(axis.paths for axis in self.axes))
        known = {dotted(path) for path in swept} | {"batch"} | set(_keys(self._base))
        if self._base and setting.key not in known:
            self._wrong(setting.origin, unknown("key", setting.key, known), at_key=True)
        values = setting.value if isinstance(setting.value, list) else [setting.value]
        return setting.path, frozenset(map(_comparable, values))

    def _value(self, path: KeyPath, values: Mapping[KeyPath, Data]) -> object:
        """What a point has for a key, in a form that compares; the base's where it has none."""
        if path in values:
            return _comparable(values[path])
        return _comparable(1 if path == BATCH else _at(self._base, path))

    def _check_networks(self) -> None:
        named = chain.from_iterable(
            [*chain.from_iterable(axis.choices for axis in self.axes), *chain(self.included)]
        )
        for setting in named:
            if setting.path == NETWORK and setting.value not in self._labels:
                self._load_network(setting)

    def _load_network(self, setting: Setting) -> None:
        if not isinstance(setting.value, str):
            self._wrong(setting.origin, f"expected a network, found {setting.value!r}")
            return
        name = self._labels[setting.value] = self._named(setting.value)
        try:
            self.networks[name] = load_network(name)
        except InputError as error:
            self._note_from_other_file(error, setting.origin)
        else:
            self._digests[name] = network_digest(self.networks[name])

    def _check_quantities(self) -> None:
        """Objectives and constraints are known, and energy is there where they name it."""
        swept = {path[0] for axis in self.axes for path in axis.paths}
        places = [("objectives", name) for name in self.file.objectives]
        places += [("constraints", name) for name in self.file.constraints]
        for place in places:
            if place[1] not in quantity_names():
                message = unknown("quantity", place[1], quantity_names())
                self._wrong(place, message, at_key=True)
            elif place[1] in ENERGY_QUANTITIES and not {"energy"} & {*self._base, *swept}:
                message = (
                    "the base names no energy table; add `energy: [horowitz_45nm]` to the matrix"
                )
                self._wrong(place, message, at_key=True)

    def _base_parameters(self) -> dict[str, Value]:
        """The base's values of all keys that any point sets."""
        every = chain(chain.from_iterable(axis.choices for axis in self.axes), self.included)
        paths = dict.fromkeys(setting.path for settings in every for setting in settings)
        values = {dotted(path): _plain(_at(self._base, path)) for path in paths}
        return values | ({"batch": 1} if BATCH in paths else {})

    def _located(self, finding: Finding, settings: Sequence[Setting]) -> Problem:
        """A problem of a point's hardware, where the sweep file sets what it comes from."""

        def in_common(setting: Setting) -> int:
            pairs = zip(finding.path, setting.path, strict=False)
            return next((i for i, (a, b) in enumerate(pairs) if a != b), len(setting.path))

        blamed = max(settings, key=in_common, default=Setting((), None, ("base",)))
        inner = finding.path[len(blamed.path) :] if in_common(blamed) == len(blamed.path) else ()
        told = finding.message
        if finding.path != (*blamed.path, *inner):
            told = f"{dotted(finding.path)}: {told}"
        others = [f"{each.key}={each.value}" for each in settings if each.path not in (NETWORK,)]
        point = f" (in the point {', '.join(others)})" if len(others) > 1 else ""
        return self.file.problem((*blamed.origin, *inner), told + point, finding.at_key)


# --- Content --------------------------------------------------------------------------------------


def canonical(hardware: Hardware, part: str) -> str:
    """A top-level key of a hardware file and its content as one line of text, "" for defaults.

    Equal content gives equal text, however it was written. Names and descriptions are left out,
    for they change no result.
    """
    if part in _LABELS:
        return ""
    dumped = hardware.model_dump(
        include={part}, exclude={"energy": set(_LABELS)}, exclude_defaults=True
    )
    content = dumped.get(part)
    if content is None:
        return ""
    return f"{part} {json.dumps(content, sort_keys=True, default=str, separators=(',', ':'))}"


def network_digest(network: Network) -> str:
    """A hash of a network's inputs and layers; of nothing that changes no time."""
    content = repr((sorted(network.inputs.items()), network.layers))
    return sha256(content.encode()).hexdigest()


def _is_checked_part(value: object) -> bool:
    """Whether pydantic takes it as it is: a record, or a mapping of records."""
    inner = value.values() if isinstance(value, dict) else [value]
    return all(isinstance(each, BaseModel) for each in inner)


def _choice_key(part: str, settings: Iterable[Setting]) -> str:
    """A name for a part of the hardware with some settings."""
    return f"{part}: " + ", ".join(f"{each.key}={each.value!r}" for each in settings)


def _choice_text(choice: Sequence[Setting]) -> Value:
    if len(choice) == 1:
        return _plain(choice[0].value)
    return ", ".join(f"{each.key}={each.value}" for each in choice) or "as the base"


def _plain(value: Data) -> Value:
    """A value for people: text, or a number as it is."""
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def _comparable(value: Data) -> object:
    """Equal for equal values, however they are written: 64 KiB and 65536 B."""
    return _quantity(value) if isinstance(value, str) else json.dumps(value)


@lru_cache(maxsize=4096)
def _quantity(text: str) -> object:
    try:
        return parse_quantity(text)
    except ValueError:
        return json.dumps(text)


def _at(data: Mapping[str, Data], path: KeyPath) -> Data:
    """What stands at a path; None if nothing does."""
    value: Data = dict(data)
    for part in path:
        value = value.get(str(part)) if isinstance(value, dict) else None
    return value


def _keys(data: Mapping[str, Data], prefix: str = "") -> Iterator[str]:
    """Dotted keys of all values."""
    for key, value in data.items():
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
