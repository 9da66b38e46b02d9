"""The points of a sweep: which there are, and what each of them is, checked before any runs."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from itertools import chain
from pathlib import Path

from accelsim.errors import InputError, Problem
from accelsim.frontend.findings import unknown
from accelsim.frontend.hardware_file import hardware_data
from accelsim.frontend.source import Data, KeyPath, dotted, in_file_order
from accelsim.frontend.sweep_file import Over, Search, SweepFile, load_sweep, readable_rest
from accelsim.hardware import Hardware
from accelsim.network.digest import network_digest
from accelsim.network.graph import Network
from accelsim.sweep.axes import (
    BATCH,
    ENERGY,
    NETWORK,
    Axis,
    Findings,
    Settings,
    axes_of,
    exclusions_of,
    inclusions_of,
    keys_of,
    value_at,
)
from accelsim.sweep.content import plain, point_key
from accelsim.sweep.forced import forced_on
from accelsim.sweep.grid import Content, Grid, values_of
from accelsim.sweep.hints import hints, none_left, too_many
from accelsim.sweep.networks import swept
from accelsim.sweep.points import NOWHERE, Points
from accelsim.sweep.quantities import (
    ENERGY_QUANTITIES,
    HARDWARE_QUANTITIES,
    QUANTITY_PARTS,
    Constraint,
    Objectives,
    feasible,
    hardware_quantities,
    impossible,
    quantity_names,
)
from accelsim.sweep.records import Point, Value, Varied
from accelsim.sweep.variants import Variants, named_path

_MOST_PROBLEMS = 20
"""Where nearly every point is wrong, the first ones say enough."""
_PARTS = {*Hardware.model_fields}

Counter = Callable[[int, int], None]
"""Takes how many are done, of how many."""


@dataclass(frozen=True, slots=True)
class Census:
    """What became of the combinations.

    Of `grid` of them, and `included` further points, `excluded` says for each entry of `exclude`
    how many it left out; `infeasible` do not meet the constraints on hardware, `repeated` equal an
    earlier point. `versions` says of parts of the hardware how many different ones there are.
    """

    grid: int
    included: int
    excluded: tuple[int, ...]
    infeasible: int
    repeated: int
    versions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A resolved sweep.

    `points` are those to run: the matrix and what is included; with `search` only the latter,
    and `point` gives those of the matrix. `networks` has each network by the name that points
    have. `content` is a hash of all that decides which points there are. `hints` are of what can
    be meant, but seldom is.
    """

    name: str
    source: str
    points: Points
    axes: tuple[Axis, ...]
    objectives: Objectives
    constraints: tuple[Constraint, ...]
    over: Over | None
    search: Search | None
    timeout_s: float | None
    networks: Mapping[str, Network]
    content: str
    census: Census
    hints: tuple[Problem, ...]
    space: "Space" = field(repr=False, compare=False)

    @property
    def identity(self) -> str:
        """Whose results a file holds: those of the sweep of this name, edited or not."""
        return self.name

    def point(self, choice: Sequence[int]) -> Point | None:
        """The point of one choice of each axis, by index; None if the sweep leaves it out.

        Raises InputError for a combination that is no hardware.
        """
        pairs = zip(self.axes, choice, strict=True)
        return self.space.admitted([each for axis, at in pairs for each in axis.choices[at]])


def resolve_file(name_or_path: str | Path, tell: Counter | None = None) -> Sweep:
    """`resolve` of a built-in sweep by name, or of a file.

    Where the file itself is wrong, what its other keys name is checked all the same, but for
    points: InputError tells all of it.
    """
    try:
        sweep_file = load_sweep(name_or_path)
    except InputError as error:
        if not any(problem.line for problem in error.problems):
            raise
        rest, within = readable_rest(name_or_path)
        known = [*dict.fromkeys([*error.problems, *within])]
        if rest is None:
            raise InputError(in_file_order(known)) from None
        found = Findings(rest)
        Space(rest, found)
        raise InputError(found.beside(known)) from None
    return resolve(sweep_file, tell)


def resolve(sweep_file: SweepFile, tell: Counter | None = None) -> Sweep:
    """Every point of a sweep file, checked: networks, hardware, keys and quantities.

    `tell` is called now and then, for a million points take minutes.
    Raises InputError with everything that is wrong, by line. Whether layers fit the buffers takes
    the search of a run; a point that does not fit is a failed row.
    """
    found = Findings(sweep_file)
    space = Space(sweep_file, found)
    if not space.has_hardware:
        found.complain()
    if not sweep_file.search and space.grid.size > sweep_file.max_points:
        found.add(too_many(sweep_file, space.grid.size))
        found.complain()
    space.check(tell)
    points = space.points()
    if not points and not sweep_file.search:
        raise InputError(none_left(sweep_file, space.grid.excluded, space.infeasible))
    return Sweep(
        name=sweep_file.name,
        source=sweep_file.source,
        points=points,
        axes=space.axes,
        objectives=sweep_file.objectives,
        constraints=space.constraints,
        over=space.over,
        search=sweep_file.search,
        timeout_s=sweep_file.timeout_s,
        networks=space.networks,
        content=_content(sweep_file, space, points),
        census=Census(
            grid=space.grid.size,
            included=len(space.included),
            excluded=tuple(space.grid.excluded),
            infeasible=space.infeasible,
            repeated=space.repeated,
            versions=space.versions(),
        ),
        hints=tuple(hints(sweep_file, space.grid.excluded, points)),
        space=space,
    )


def _content(file: SweepFile, space: "Space", points: Points) -> str:
    sampled = file.model_dump(include={"networks", "matrix", "exclude", "search"}, mode="json")
    included = [point.key for point in points[len(space.positions) :]]
    said = [file.base, sampled if file.search else None, space.digest(), included]
    return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


class Space:
    """What makes points of settings; what is wrong with the sweep file goes to `found`."""

    def __init__(self, file: SweepFile, found: Findings) -> None:
        self._file, self._found = file, found
        self._base = self._load_base()
        self.variants = Variants(file, self._base)
        self.axes = axes_of(file, found)
        self.included = inclusions_of(file, self.axes, found)
        every = [*chain.from_iterable(axis.choices for axis in self.axes), *self.included]
        self._settings = [setting for settings in every for setting in settings]
        known = {*keys_of(self._base), *(setting.key for setting in self._settings)}
        self._exclusions = exclusions_of(file, known if self._base else (), found)
        self.infeasible = self.repeated = 0
        self.networks: dict[str, Network] = {}
        self._paths: dict[str, str] = {}
        self._digests: dict[str, str] = {}
        self._load_networks()
        self._mapping, self._digests = forced_on(file, self.networks, self._digests, found)
        self._check_batches()
        self._check_quantities()
        self.constraints = tuple(
            Constraint(name, bounds.min, bounds.max) for name, bounds in file.constraints.items()
        )
        self.over = self._over_networks()
        self._of_hardware = [c for c in self.constraints if c.quantity in HARDWARE_QUANTITIES]
        self._parameters = self._base_parameters()
        self.grid = Grid(self.axes)
        self.positions = NOWHERE
        self._others: list[Content] = []

    @property
    def has_hardware(self) -> bool:
        """Whether points can be checked: what is wrong so far is not what their hardware is of."""
        return bool(self._base) and not self._found.within("matrix", "include", "exclude")

    def check(self, tell: Counter | None = None) -> None:
        """Note what is wrong with any point, and which combinations of the matrix are points.

        Those of a matrix that is sampled are none by themselves.
        """
        if self._file.search:
            self._check_choices()
            return
        self.grid.leave_out_excluded(self._exclusions, self._base)
        self.grid.check(self._content, self._note, tell)
        if not self._found:
            for constraint in self._of_hardware:
                parts = QUANTITY_PARTS[constraint.quantity]
                holds = partial(self._holds, constraint)
                self.infeasible += self.grid.leave_out(parts, holds)
            self.positions = self.grid.points()
            self.repeated = int(self.grid.left.sum()) - len(self.positions)

    def points(self) -> Points:
        """Those of the matrix, unless it is sampled, and the included ones that repeat none."""
        others: dict[str, Point] = {}
        base = self._content([]) or {}
        for settings in self.included:
            for point in self._noted(self.point, settings):
                content = self._content(settings) or {}
                if point.key in others or self.grid.has(content, base):
                    self.repeated += 1
                else:
                    others[point.key] = point
                    self._others.append(content)
        self._found.complain()
        return Points(self.grid, self.positions, [*others.values()], self.point)

    def versions(self) -> dict[str, int]:
        """How many different contents each part of the hardware has, where there are several."""
        found = self.grid.versions(self.positions, self._others)
        base = [self._content([]) or {}] if len(self.positions) else []
        for part in sorted(_PARTS - {*found}):
            found[part] = len({each.get(part, "") for each in [*base, *self._others]})
        return {part: count for part, count in found.items() if count > 1 and part in _PARTS}

    def digest(self) -> str:
        """What the points of the matrix come to, in short."""
        return f"{self.grid.digest(self.positions)} {sorted((self._content([]) or {}).items())}"

    def _content(self, settings: Settings) -> Content | None:
        """What settings come to, by part; None where that cannot be told, or enough is wrong."""
        if len(self._found) >= _MOST_PROBLEMS:
            return None
        named: dict[KeyPath, Data] = {
            each.path: each.value for each in settings if len(each.path) == 1
        }
        content = {"batch": str(named.get(BATCH, 1))}
        if NETWORK in named:
            path = self._paths[str(named[NETWORK])]
            content["network"] = self._digests.get(path, path)
        try:
            return content | dict(self.variants.of(settings).texts)
        except InputError:
            return None

    def _note(self, settings: Callable[[], Settings]) -> None:
        """Say what is wrong with a point."""
        if len(self._found) < _MOST_PROBLEMS:
            list(self._noted(self.point, settings()))

    def _holds(self, constraint: Constraint, settings: Settings) -> bool:
        """Whether a hardware meets a constraint."""
        hardware = self.variants.of(settings).varied.hardware
        name = constraint.quantity
        return constraint.holds({name: HARDWARE_QUANTITIES[name](hardware)})

    def _check_choices(self) -> None:
        """Each choice of a sampled axis is valid beside the first ones of the others."""
        first = [axis.choices[0] for axis in self.axes]
        for index, axis in enumerate(self.axes):
            for choice in axis.choices:
                settings = [*chain.from_iterable([*first[:index], choice, *first[index + 1 :]])]
                list(self._noted(self.point, settings))
        self.infeasible = 0

    def _noted(
        self, make: Callable[[Settings], Point | None], settings: Settings
    ) -> Iterator[Point]:
        """The point, if there is one; what is wrong with it is noted."""
        if len(self._found) >= _MOST_PROBLEMS:
            return
        try:
            point = make(settings)
        except InputError as error:
            for problem in error.problems:
                self._found.add(problem)
        else:
            if point:
                yield point

    def admitted(self, settings: Settings) -> Point | None:
        """The point, or None if the sweep leaves it out; raises InputError."""
        values = values_of(settings)
        if any(exclusion.matches(values, self._base) for exclusion in self._exclusions):
            return None
        return self.point(settings)

    def point(self, settings: Settings) -> Point | None:
        """The point, or None if a constraint on hardware leaves it out; raises InputError."""
        named: dict[KeyPath, Data] = {
            each.path: each.value for each in settings if len(each.path) == 1
        }
        batch = named.get(BATCH, 1)
        assert isinstance(batch, int)
        variant = self.variants.of(settings)
        if not self._allowed(variant.varied):
            self.infeasible += 1
            return None
        network = self._paths[str(named[NETWORK])]
        if network not in self.networks:
            return None  # as noted when it was to be loaded
        said = {setting.key: setting.shown for setting in settings}
        for path in chain.from_iterable(setting.replaces for setting in settings):
            if dotted(path) in self._parameters:
                said.setdefault(dotted(path), None)
        return Point(
            key=point_key(self._digests[network], variant.varied.content, batch),
            network=network,
            varied=variant.varied,
            batch=batch,
            parameters={**self._parameters, **said},
            graph=self.networks[network],
            mapping=self._mapping,
        )

    def _allowed(self, varied: Varied) -> bool:
        of_hardware = self._of_hardware
        return not of_hardware or feasible(hardware_quantities(varied.hardware), of_hardware)

    # --- What the file names

    def _load_base(self) -> dict[str, Data]:
        try:
            return hardware_data(named_path(self._file.folder, self._file.base))
        except InputError as error:
            self._found.in_named_file(error, ("base",))
            return {}

    def _load_networks(self) -> None:
        named = {str(each.value): each for each in self._settings if each.path == NETWORK}
        for name, setting in named.items():
            path = self._paths[name] = named_path(self._file.folder, name)
            try:
                told, network = swept(self._file, path)
            except InputError as error:
                self._found.in_named_file(error, setting.origin)
            else:
                self._paths[name] = told
                self.networks[told] = network
                self._digests[told] = network_digest(network)

    def _check_batches(self) -> None:
        batches = [setting for setting in self._settings if setting.path == BATCH]
        if batches:
            from accelsim.network.ops.fields import LARGEST_BATCH  # takes a while to import
        for setting in batches:
            batch = setting.value
            if type(batch) is not int or not 1 <= batch <= LARGEST_BATCH:
                message = f"expected a whole number of images, 1 to {LARGEST_BATCH:,}"
                self._found.at(setting.origin, f"{message}, found {batch!r}")

    def _check_quantities(self) -> None:
        """Objectives and constraints are known and possible, with energy where they name it."""
        places: list[tuple[str, str]] = [("objectives", name) for name in self._file.objectives]
        places += [("constraints", name) for name in self._file.constraints]
        for place in places:
            if place[1] not in quantity_names():
                message = unknown("quantity", place[1], quantity_names())
                self._found.at(place, message, at_key=True)
            elif place[1] in ENERGY_QUANTITIES and "energy" not in self._base:
                self._check_energy(place)
        for name, bounds in self._file.constraints.items():
            message = impossible(name, bounds.min, bounds.max)
            if bounds.is_size and not name.endswith("bytes"):
                message = f"{name} is no size in bytes; give a number without a unit"
            if message:
                self._found.at(("constraints", name), message)

    def _over_networks(self) -> Over | None:
        """Weights by the names that points have; one of no network is noted."""
        over = self._file.over_networks
        if not isinstance(over, dict):
            return over
        for name in over:
            if name not in self._paths:
                self._found.at(("over_networks", name), unknown("network", name, self._paths), True)
        return {self._paths[name]: weight for name, weight in over.items() if name in self._paths}

    def _check_energy(self, place: KeyPath) -> None:
        """The matrix names an energy table, and so does each included point."""
        choices = chain.from_iterable(axis.choices for axis in self.axes)
        if not any(map(_names_table, choices)):
            message = "needs an energy table; add `energy: [horowitz_45nm]` to the matrix"
            self._found.at(place, message, at_key=True)
        for settings in self.included:
            if not _names_table(settings):
                message = f"{dotted(place)} needs an energy table; add `energy: horowitz_45nm`"
                self._found.at(settings[-1].origin[:2], message)

    def _base_parameters(self) -> dict[str, Value]:
        """The base's values of all keys that any point sets; an energy table by its name."""
        values: dict[str, Value] = {}
        for path in dict.fromkeys(setting.path for setting in self._settings):
            value = value_at(self._base, path)
            named = isinstance(value, dict) and path == ENERGY
            values[dotted(path)] = plain(value["name"] if named else value)  # type: ignore[index, call-overload]
        return values


def _names_table(settings: Settings) -> bool:
    return any(setting.path[:1] == ENERGY for setting in settings)
