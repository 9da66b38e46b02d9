"""The combinations of a sweep's axes as arrays: which of them are points, before any is made.

An axis sets keys of some parts (array, buffers, network, ...). Those that set keys of one part are
checked together, every other by itself, so that a million combinations of parts cost no more than
the parts; a point is made when it is its turn.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import chain, product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.frontend.source import Data, KeyPath
from accelsim.hardware import COUPLED_PARTS
from accelsim.sweep.axes import Axis, Exclusion, Settings

Choice = tuple[int, ...]
"""Which choice of each axis, by index."""
Content = Mapping[str, str]
"""What each part comes to, as text."""
Positions = NDArray[np.int64]
"""Combinations by their numbers, in the order in which the last axis is the fastest."""
WRONG = -1


@dataclass(frozen=True, slots=True)
class Group:
    """Axes that set keys of common `parts`, and the `kinds` of content that they make.

    `kinds` has a number for each combination of these axes' choices, equal where the content is,
    and WRONG where there is none. `texts` has the numbers of each part's texts, and those by kind.
    """

    axes: tuple[int, ...]
    parts: tuple[str, ...]
    kinds: NDArray[np.int64]
    known: Mapping[bytes, int]
    texts: Mapping[str, tuple[Mapping[bytes, int], NDArray[np.int64]]]

    def kind(self, content: Content) -> int:
        """The number of a content; WRONG if no combination makes it."""
        return self.known.get(_digest(content, self.parts), WRONG)


def _digest(content: Content, parts: Iterable[str]) -> bytes:
    said = "\n".join(content.get(part, "") for part in parts)
    return blake2b(said.encode("utf-8", "backslashreplace"), digest_size=16).digest()


def settings_of(axes: Sequence[Axis], choice: Iterable[int]) -> list[Any]:
    """The settings of a choice of each of these axes."""
    pairs = zip(axes, choice, strict=True)
    return [*chain.from_iterable(axis.choices[at] for axis, at in pairs)]


def grouped(axes: Sequence[Axis]) -> list[tuple[tuple[int, ...], tuple[str, ...]]]:
    """Indices of axes that have parts in common, or parts that are held against each other."""
    groups: list[tuple[set[int], set[str]]] = []
    for index, axis in enumerate(axes):
        parts = {str(path[0]) for path in axis.paths}
        if parts & {*COUPLED_PARTS}:
            parts |= {*COUPLED_PARTS}
        met = [group for group in groups if group[1] & parts]
        groups = [group for group in groups if not group[1] & parts]
        indices = set().union({index}, *(group[0] for group in met))
        groups.append((indices, parts.union(*(group[1] for group in met))))
    return [(tuple(sorted(indices)), tuple(sorted(parts))) for indices, parts in groups]


class _Texts:
    """The texts of the parts of a group with several parts; one part's are its kinds."""

    def __init__(self, parts: tuple[str, ...]) -> None:
        self.parts = parts
        self.numbers: dict[str, dict[bytes, int]] = {part: {} for part in parts}
        self.by_kind: dict[str, list[int]] = {part: [] for part in parts}

    def add(self, kind: int, content: Content) -> None:
        """Note the texts of a kind, once."""
        if len(self.parts) < 2 or kind < len(self.by_kind[self.parts[0]]):
            return
        for part, numbers in self.numbers.items():
            number = numbers.setdefault(_digest(content, [part]), len(numbers))
            self.by_kind[part].append(number)

    def of(
        self, known: Mapping[bytes, int]
    ) -> dict[str, tuple[Mapping[bytes, int], NDArray[np.int64]]]:
        """For each part the numbers of its texts, and those numbers by kind."""
        if len(self.parts) < 2:
            return {part: (known, np.arange(len(known))) for part in self.parts}
        return {
            part: (self.numbers[part], np.array(self.by_kind[part], dtype=np.int64))
            for part in self.parts
        }


class Grid:
    """All combinations of the axes, less those that are excluded, of which `left` tells."""

    def __init__(self, axes: Sequence[Axis]) -> None:
        self.axes = axes
        self.shape = tuple(len(axis.choices) for axis in axes)
        self.size = prod(self.shape)
        self.left = np.zeros(0, dtype=bool)
        self.excluded: list[int] = []
        self.groups: list[Group] = []

    def settings(self, positions: Positions) -> Iterator[list[Any]]:
        """What combinations set, one after another."""
        columns = [each.tolist() for each in np.unravel_index(positions, self.shape)]
        for choice in zip(*columns, strict=True):
            yield settings_of(self.axes, choice)

    def leave_out_excluded(self, exclusions: Sequence[Exclusion], base: Mapping[str, Data]) -> None:
        """Begin with all but what is excluded."""
        self.left = np.ones(self.shape, dtype=bool)
        self.excluded = [self._leave_out(each, base) for each in exclusions]

    def _leave_out(self, exclusion: Exclusion, base: Mapping[str, Data]) -> int:
        """Take out what an entry of `exclude` matches, and say how many these are."""
        keys = {path for path, _ in exclusion.accepted}
        axes = [index for index, axis in enumerate(self.axes) if _touches(axis, keys)]
        shape = tuple(self.shape[index] for index in axes)
        matches = np.zeros(shape, dtype=bool)
        for choice in product(*map(range, shape)):
            settings = settings_of([self.axes[index] for index in axes], choice)
            matches[choice] = exclusion.matches(values_of(settings), base)
        found = self.left & self._along(matches, axes)
        self.left &= ~found
        return int(found.sum())

    def _along(self, values: NDArray[Any], axes: Iterable[int]) -> NDArray[Any]:
        """Values for some axes, so that they go with all combinations."""
        named = {*axes}
        shape = [size if index in named else 1 for index, size in enumerate(self.shape)]
        return values.reshape(shape)

    def check(
        self,
        content: Callable[[Settings], Content | None],
        again: Callable[[Callable[[], Settings]], None],
        tell: Callable[[int, int], None] | None = None,
    ) -> None:
        """Number the contents of each group of axes, by what its settings come to.

        Where that is None, `again` can ask for the settings of the first point that is not
        excluded, to say what is wrong with it.
        """
        grouping = grouped(self.axes)
        total = sum(prod(self.shape[index] for index in axes) for axes, _ in grouping)
        counts = iter(range(1, total + 1))

        def told(settings: Settings) -> Content | None:
            count = next(counts)
            if tell and count % TOLD_EVERY == 0:
                tell(count, total)
            return content(settings)

        self.groups = [self._group(axes, parts, told, again) for axes, parts in grouping]

    def _group(
        self,
        axes: tuple[int, ...],
        parts: tuple[str, ...],
        content: Callable[[Settings], Content | None],
        again: Callable[[Callable[[], Settings]], None],
    ) -> Group:
        others = tuple(index for index in range(len(self.axes)) if index not in axes)
        present = np.asarray(self.left.any(axis=others))
        kinds = np.full(present.shape, WRONG, dtype=np.int64)
        known: dict[bytes, int] = {}
        texts = _Texts(parts)
        chosen = [self.axes[index] for index in axes]
        for choice in product(*map(range, present.shape)):
            if not present[choice]:
                continue
            made = content(settings_of(chosen, choice))
            if made is None:
                again(partial(self._first, axes, choice))
                continue
            kinds[choice] = kind = known.setdefault(_digest(made, parts), len(known))
            texts.add(kind, made)
        return Group(axes=axes, parts=parts, kinds=kinds, known=known, texts=texts.of(known))

    def _first(self, axes: Sequence[int], choice: Choice) -> list[Any]:
        """The settings of the first combination with these choices that is not excluded."""
        mask = np.zeros([self.shape[index] for index in axes], dtype=bool)
        mask[choice] = True
        found = np.argmax(self.left & self._along(mask, axes))
        return next(self.settings(np.array([found])))

    def leave_out(self, parts: Iterable[str], holds: Callable[[Settings], bool]) -> int:
        """Take out the combinations of what sets these parts where something does not hold."""
        named = {*parts}
        groups = [group for group in self.groups if named & {*group.parts}]
        axes = sorted(chain.from_iterable(group.axes for group in groups))
        chosen = [self.axes[index] for index in axes]
        kept = np.zeros([self.shape[index] for index in axes], dtype=bool)
        for choice in product(*map(range, kept.shape)):
            kept[choice] = holds(settings_of(chosen, choice))
        found = self.left & ~self._along(kept, axes)
        self.left &= ~found
        return int(found.sum())

    def points(self) -> Positions:
        """The combinations that are left, each content once, where it comes first."""
        positions = np.flatnonzero(self.left)
        if all(len(group.known) == group.kinds.size for group in self.groups):
            return positions
        _, first = np.unique(self._kinds(positions), return_index=True)
        return positions[np.sort(first)]

    def _kinds(self, positions: Positions) -> NDArray[np.int64]:
        """A number for each combination, equal where all of the content is."""
        kinds = np.zeros(len(positions), dtype=np.int64)
        indices = np.unravel_index(positions, self.shape)
        for group in self.groups:
            own = group.kinds[tuple(indices[index] for index in group.axes)]
            kinds = kinds * max(len(group.known), 1) + own
        return kinds

    def has(self, content: Content, base: Content) -> bool:
        """Whether some combination that is left comes to this content."""
        ours = {part for group in self.groups for part in group.parts}
        if any(content.get(part, "") != base.get(part, "") for part in {*content, *base} - ours):
            return False
        left = self.left
        for group in self.groups:  # none where the matrix is sampled
            left = left & self._along(group.kinds == group.kind(content), group.axes)
        return bool(self.groups) and bool(left.any())

    def examples(self, paths: Iterable[KeyPath], positions: Positions) -> Positions:
        """The first of these combinations for each different choice of what sets some keys."""
        keys = {*paths}
        axes = [index for index, axis in enumerate(self.axes) if _touches(axis, keys)]
        indices = np.unravel_index(positions, self.shape)
        mixed = np.zeros(len(positions), dtype=np.int64)
        for index in axes:
            mixed = mixed * self.shape[index] + indices[index]
        return positions[np.unique(mixed, return_index=True)[1]]

    def versions(self, positions: Positions, others: Sequence[Content]) -> dict[str, int]:
        """How many texts each part has among these combinations, and other contents beside them."""
        found: dict[str, int] = {}
        indices = np.unravel_index(positions, self.shape)
        for group in self.groups:
            kinds = np.unique(group.kinds[tuple(indices[index] for index in group.axes)])
            for part, (numbers, by_kind) in group.texts.items():
                texts: set[object] = {*by_kind[kinds].tolist()}
                said = (_digest(content, [part]) for content in others)
                found[part] = len(texts.union(numbers.get(each, each) for each in said))
        return found

    def digest(self, positions: Positions) -> str:
        """What all these combinations come to, in short."""
        hashed = blake2b(positions.tobytes(), digest_size=16)
        for group in self.groups:
            hashed.update(repr((group.axes, group.parts)).encode())
            hashed.update(group.kinds.tobytes())
            for each in group.known:
                hashed.update(each)
        return hashed.hexdigest()


TOLD_EVERY = 1000
"""Parts that are checked between two words on how far it is."""


def _touches(axis: Axis, keys: set[KeyPath]) -> bool:
    """Whether any choice of an axis sets one of the keys, or takes its place."""
    touched = {
        path
        for choice in axis.choices
        for setting in choice
        for path in (setting.path, *setting.replaces)
    }
    return not touched.isdisjoint(keys)


def values_of(settings: Settings) -> dict[KeyPath, Data]:
    """What a point has where it is not as the base."""
    replaced: dict[KeyPath, Data] = {path: None for each in settings for path in each.replaces}
    return replaced | {setting.path: setting.value for setting in settings}
