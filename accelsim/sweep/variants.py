"""The base of a sweep with other values: valid hardware, quickly, for thousands of points."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from accelsim.errors import InputError, Problem
from accelsim.frontend.dram_sheet import opened, without
from accelsim.frontend.energy_file import energy_table
from accelsim.frontend.findings import Finding
from accelsim.frontend.hardware_file import checked_hardware
from accelsim.frontend.source import Data, dotted
from accelsim.frontend.sweep_file import SweepFile
from accelsim.hardware import COUPLED_PARTS, Hardware
from accelsim.sweep.axes import BATCH, ENERGY, NETWORK, Setting, Settings
from accelsim.sweep.content import part_text
from accelsim.sweep.records import Varied

_OUTSIDE = (NETWORK, BATCH)


@dataclass(frozen=True, slots=True)
class Variant:
    """A hardware, and its content as a line of text for each part, shared as the parts are."""

    varied: Varied
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The content."""
        return "\n".join(self.lines)


class Variants:
    """Variants of a base, each made once.

    Points differ in few parts of their hardware (array, buffers, dram, ...), so each different
    part is validated and put into text once, and so is each combination of those that `Hardware`
    holds against each other. The very same settings are known by their identities, and kept, so
    that no others have these.
    """

    def __init__(self, file: SweepFile, base: dict[str, Data]) -> None:
        self._file = file
        self._base = base
        self._base_hardware, _ = checked_hardware(base)
        self._base_models = {part: it for part, it in self._base_hardware or () if _is_valid(it)}
        self._varied_parts: set[frozenset[str]] = set()
        self._asked: dict[tuple[int, ...], tuple[Settings, Variant]] = {}
        self._made: dict[tuple[str, ...], Variant] = {}
        self._parts: dict[str, Any] = {}
        self._agreed: set[tuple[str | None, ...]] = set()
        self._texts: dict[str, str] = {}
        self._base_texts: dict[str, str] = {}
        if self._base_hardware:
            for part in sorted(base):
                self._base_texts[part] = part_text(self._base_hardware, part)

    def of(self, settings: Settings) -> Variant:
        """The base with the settings; raises InputError at the lines that set what is wrong."""
        chosen = [each for each in settings if each.path not in _OUTSIDE]
        asked = tuple(map(id, chosen))
        if asked not in self._asked:
            self._asked[asked] = chosen, self._variant(chosen)
        return self._asked[asked][1]

    def _variant(self, settings: Settings) -> Variant:
        by_part: dict[str, list[Setting]] = {}
        for setting in settings:
            by_part.setdefault(str(setting.path[0]), []).append(setting)
        names = {part: _name(part, chosen) for part, chosen in by_part.items()}
        whole = tuple(sorted(names.values()))
        if whole not in self._made:
            varied = self._checked(by_part, names)
            self._made[whole] = Variant(varied, self._lines(names))
        return self._made[whole]

    @property
    def versions(self) -> dict[str, int]:
        """How many different contents each part has, where there is more than one."""
        contents: dict[str, set[str]] = {}
        for name, text in self._texts.items():
            contents.setdefault(name.partition(" ")[0], set()).add(text)
        for part, text in self._base_texts.items():
            if part in contents and any(part not in varied for varied in self._varied_parts):
                contents[part].add(text)
        return {part: len(texts) for part, texts in contents.items() if len(texts) > 1}

    def _checked(self, by_part: Mapping[str, list[Setting]], names: Mapping[str, str]) -> Varied:
        """The base with parts that are shared among the variants that have them."""
        coupled = tuple(names.get(part) for part in COUPLED_PARTS)
        if coupled not in self._agreed or any(name not in self._parts for name in names.values()):
            hardware = self._validated(by_part, names)
            self._agreed.add(coupled)
            for part, name in names.items():
                if name not in self._parts:
                    self._parts[name] = getattr(hardware, part)
                    self._texts[name] = part_text(hardware, part)
        assert self._base_hardware
        return Varied(
            self._base_hardware, {part: self._parts[name] for part, name in names.items()}
        )

    def _validated(
        self, by_part: Mapping[str, list[Setting]], names: Mapping[str, str]
    ) -> Hardware:
        """Only parts that are new are validated; others are the base's, or known."""
        settings = [setting for chosen in by_part.values() for setting in chosen]
        base = without(self._base, [path for setting in settings for path in setting.replaces])
        varied = {
            part: known
            if _is_valid(known := self._parts.get(names[part]))
            else self._varied(base.get(part), by_part[part])
            for part in by_part
        }
        hardware, found = checked_hardware({**self._base, **self._base_models, **varied})
        if hardware is None:
            raise InputError([self._located(finding, settings) for finding in found])
        return hardware

    def _varied(self, data: Data, settings: Settings) -> Data:
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

    def _lines(self, names: Mapping[str, str]) -> tuple[str, ...]:
        """The text of each part, by the parts' names."""
        self._varied_parts.add(frozenset(names))
        texts = self._base_texts | {part: self._texts[name] for part, name in names.items()}
        if len(texts) > len(self._base_texts):
            texts = dict(sorted(texts.items()))
        return tuple(filter(None, texts.values()))

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
    return Problem(told, place.source, place.line, place.column, place.key)


def named_path(folder: Path, name: str) -> str:
    """A built-in name as it is, a path from `folder`."""
    return str(folder / name) if Path(name).suffix else name
