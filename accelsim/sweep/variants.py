"""The base of a sweep with other values: valid hardware, quickly, for thousands of points."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from accelsim.errors import InputError, Problem
from accelsim.frontend.dram_sheet import opened, without
from accelsim.frontend.energy_file import energy_table
from accelsim.frontend.findings import Finding
from accelsim.frontend.hardware_file import checked_hardware
from accelsim.frontend.source import Data, dotted
from accelsim.frontend.sweep_file import SweepFile
from accelsim.hardware import COUPLED_PARTS, Hardware
from accelsim.sweep.axes import BATCH, ENERGY, NETWORK, Setting, Settings
from accelsim.sweep.content import model_text, part_text
from accelsim.sweep.records import Varied

_OUTSIDE = (NETWORK, BATCH)
ALONE: Mapping[str, Any] = {
    part: Hardware.model_fields[part].annotation for part in ("array", "vector_unit")
}
"""Parts that are one record, which every hardware has, without a say of another part's."""


_MOST_KEPT = 4096
"""Parts that are kept to be shared by the points that have them."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A hardware, and its content as a line of text for each part, by part."""

    varied: Varied
    texts: Mapping[str, str]


class Variants:
    """Variants of a base, made as they are asked for.

    Points differ in few parts of their hardware (array, buffers, dram, ...), so each different
    part is validated and put into text once, and so is each combination of those that `Hardware`
    holds against each other; of parts that are too many to keep, those that came last are kept.
    """

    def __init__(self, file: SweepFile, base: dict[str, Data]) -> None:
        self._file = file
        self._base = base
        self._base_hardware, _ = checked_hardware(base)
        self._base_models = {part: it for part, it in self._base_hardware or () if _is_valid(it)}
        self._parts: dict[str, tuple[Any, str]] = {}
        self._agreed: set[tuple[str | None, ...]] = set()
        self.base_texts: dict[str, str] = {}
        if self._base_hardware:
            for part in sorted(base):
                self.base_texts[part] = part_text(self._base_hardware, part)

    def of(self, settings: Settings) -> Variant:
        """The base with the settings; raises InputError at the lines that set what is wrong."""
        assert self._base_hardware
        by_part: dict[str, list[Setting]] = {}
        for setting in settings:
            if setting.path not in _OUTSIDE:
                by_part.setdefault(str(setting.path[0]), []).append(setting)
        parts = self._checked(by_part)
        texts = {**self.base_texts, **{part: text for part, (_, text) in parts.items()}}
        models = {part: model for part, (model, _) in parts.items()}
        return Variant(Varied(self._base_hardware, models, _joined(texts)), texts)

    def _checked(self, by_part: Mapping[str, list[Setting]]) -> dict[str, tuple[Any, str]]:
        """The parts that are set, and their texts; shared among the variants that have them."""
        names = {part: _name(part, chosen) for part, chosen in by_part.items()}
        coupled = tuple(names.get(part) for part in COUPLED_PARTS)
        found = {part: self._parts.get(name) for part, name in names.items()}
        found |= {part: self._alone(part, by_part[part]) for part in found if not found[part]}
        if coupled not in self._agreed or not all(found.values()):
            hardware = self._validated(by_part, names)
            found |= {part: (getattr(hardware, part), part_text(hardware, part)) for part in names}
        made = {part: each for part, each in found.items() if each}
        if len(self._parts) + len(made) > _MOST_KEPT:
            self._parts.clear()
            self._agreed.clear()
        self._agreed.add(coupled)
        for part, each in made.items():
            made[part] = self._parts.setdefault(names[part], each)
        return made

    def _alone(self, part: str, settings: Sequence[Setting]) -> tuple[Any, str] | None:
        """A part that is right by itself, and its text; None where the whole must tell."""
        model = ALONE.get(part)
        if model is None:
            return None
        try:
            made = model.model_validate(self._varied(self._base.get(part), settings))
        except (InputError, ValidationError):
            return None
        return made, model_text(part, made)

    def _validated(
        self, by_part: Mapping[str, list[Setting]], names: Mapping[str, str]
    ) -> Hardware:
        """Only parts that are new are validated; others are the base's, or known."""
        settings = [setting for chosen in by_part.values() for setting in chosen]
        base = without(self._base, [path for setting in settings for path in setting.replaces])
        varied = {
            part: known[0]
            if (known := self._parts.get(names[part])) and _is_valid(known[0])
            else self._varied(base.get(part), by_part[part])
            for part in by_part
        }
        hardware, found = checked_hardware({**self._base, **self._base_models, **varied})
        if hardware is None:
            raise InputError([self._located(finding, settings) for finding in found])
        return hardware

    def _varied(self, data: Data, settings: Iterable[Setting]) -> Data:
        """The base's content of a part with the settings of it."""
        for setting in settings:
            data = self._replaced(data, setting, 1)
        return data

    def _replaced(self, data: Data, setting: Setting, depth: int) -> Data:
        """`data`, which stands at the first `depth` keys of the path, with the setting's value."""
        if depth == len(setting.path):
            return self._content(setting)
        data = opened(setting.path[:depth], data)
        if data is not None and not isinstance(data, dict):
            message = f"{dotted(setting.path[:depth])} is no mapping, so it has no keys"
            raise InputError(self._file.problem(setting.origin, message, at_key=True))
        key = str(setting.path[depth])
        inner = data or {}
        return {**inner, key: self._replaced(inner.get(key), setting, depth + 1)}

    def _content(self, setting: Setting) -> Data:
        """The value itself, or the energy table that it names."""
        if setting.path != ENERGY or not isinstance(setting.value, str):
            return setting.value
        try:
            return energy_table(setting.value, self._file.folder)
        except InputError as error:
            place = self._file.problem(setting.origin, "")
            raise InputError([_or_at(problem, place) for problem in error.problems]) from None

    def _located(self, finding: Finding, settings: Settings) -> Problem:
        """A problem of the hardware, where the sweep file sets what it comes from."""
        blamed = max(reversed(settings), key=lambda setting: _in_common(finding, setting))
        inner = finding.path[len(blamed.path) :]
        told = finding.message
        if _in_common(finding, blamed) < len(blamed.path):
            inner, told = (), f"{dotted(finding.path)}: {told}"
        others = ", ".join(f"{each.key}={each.value}" for each in settings)
        point = f" (in the point {others})" if len(settings) > 1 else ""
        return self._file.problem((*blamed.origin, *inner), told + point, finding.at_key)


def _joined(texts: Mapping[str, str]) -> str:
    """A content as a whole, in the order of the parts' names."""
    return "\n".join(text for _, text in sorted(texts.items()) if text)


def _is_valid(value: object) -> bool:
    """Whether a part of a hardware need not be validated again: a record, or several by name."""
    if isinstance(value, dict):
        return all(isinstance(each, BaseModel) for each in value.values())
    return isinstance(value, BaseModel)


def _name(part: str, settings: Iterable[Setting]) -> str:
    """A name for a part with some settings."""
    return f"{part} {', '.join([setting.name for setting in settings])}"


def _in_common(finding: Finding, setting: Setting) -> int:
    """How many keys of their paths agree from the top."""
    pairs = zip(finding.path, setting.path, strict=False)
    shorter = min(len(finding.path), len(setting.path))
    return next((index for index, (a, b) in enumerate(pairs) if a != b), shorter)


def _or_at(problem: Problem, place: Problem) -> Problem:
    """A problem of another file where it is known, else at a place of the sweep file."""
    if problem.line:
        return problem
    told = f"{problem.source}: {problem.message}" if problem.source else problem.message
    return Problem(
        message=told, source=place.source, line=place.line, column=place.column, key=place.key
    )


def named_path(folder: Path, name: str) -> str:
    """A built-in name as it is, a path from `folder`."""
    return str(folder / name) if Path(name).suffix else name
