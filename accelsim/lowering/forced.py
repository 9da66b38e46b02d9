"""Mappings that the user forces: sizes of tiles, and how their loops run; the rest is searched.

A forced layer's kernel carries what is forced, so it is another kernel than one that is free, and
whatever asks the search for its tilings is given only those that obey.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import numpy as np

from accelsim.errors import DoesNotFitError, InputError, Problem
from accelsim.frontend.findings import unknown
from accelsim.frontend.foreign_mapping import Entries, Shape, Shaped, unmatched
from accelsim.frontend.mapping_file import Entry, Forced, Source
from accelsim.frontend.source import in_file_order
from accelsim.lowering.cut import AXES, PARTS
from accelsim.lowering.forced_cut import forced_ranks
from accelsim.lowering.forced_ranks import (
    ForcedGemm,
    ForcedRanks,
    ForcedRowRanks,
    ForcedVector,
    ForcedVectorRanks,
    Values,
)
from accelsim.lowering.gemm_search import excess, ways_of
from accelsim.lowering.kernels import Alias, GemmKernel, Kernel, VectorKernel
from accelsim.lowering.laws import ArrayModel
from accelsim.lowering.mixed import MixedSearch, Processors
from accelsim.lowering.placed import kernels_of
from accelsim.lowering.ranking import REST
from accelsim.lowering.row_stationary import Mapping as RowMapping
from accelsim.lowering.row_stationary import RowStationary
from accelsim.lowering.row_stationary_candidates import most_of
from accelsim.lowering.row_stationary_ranks import RowRanks
from accelsim.lowering.search import Ranks
from accelsim.lowering.target import AnyArray, Residence, Target
from accelsim.lowering.tiling import GemmTiling, LoopOrder, VectorTiling, tilings_of, whole_sizes
from accelsim.lowering.vector_search import VectorRanks
from accelsim.lowering.vector_unit import totals
from accelsim.network.graph import Network
from accelsim.text import shown

DATAFLOW = "dataflow"
"""As an axis: that of a layer, where each has its own."""

WHOLE = "all"
"""As a size: all of the axis."""

_PATTERN = frozenset("*?[")
_NAMED = 3
"""Names of layers that are told as examples."""


ObeyingRanks = ForcedRanks | ForcedRowRanks | ForcedVectorRanks


@dataclass(frozen=True)
class ForcedSearch(MixedSearch):
    """The search, where kernels may carry what is forced.

    Where that fits only with feature maps on chip, a layer with none there is free to take
    another: so they can be planned. `refuse_others` says in the end whether it came about.
    """

    def __call__(self, kernel: Kernel, residence: Residence) -> Ranks | RowRanks | VectorRanks:
        if not _is_forced(kernel):
            return self.free(kernel, residence)
        if kernel in self.processors:
            target = replace(self.target, processor=self.processors[kernel])
            return ForcedSearch(target, self.memory, self.alone)(kernel, residence)
        ranks = self._obeying(kernel, residence)
        moves_all = not any(residence.ifmaps) and not residence.kept
        if moves_all and ranks.best is None and self._fits_on_chip(kernel):
            return self.free(kernel, residence)
        return ranks

    def free(self, kernel: Kernel, residence: Residence) -> Ranks | RowRanks | VectorRanks:
        """All tilings of a kernel, whatever is forced."""
        return super().__call__(kernel, residence)

    def _obeying(self, kernel: Kernel, residence: Residence) -> ObeyingRanks:
        """What obeys of the tilings of a forced kernel."""
        if isinstance(kernel, ForcedVector):
            key = (kernel, self.target.holding(residence))
            reads = self.memory.tap_reads
            ranks = partial(ForcedVectorRanks, *key, reads)
            return self.memory.recall("vector kernels", key, ranks)
        assert isinstance(kernel, ForcedGemm)
        return FORCED[type(self.target.processor)].ranks(self, kernel, residence)

    def _fits_on_chip(self, kernel: Kernel) -> bool:
        """Whether something that obeys fits where all feature maps are on chip."""
        if self.target.reserves_blocks:
            return False
        inputs = len(kernel.inputs) if isinstance(kernel, VectorKernel) else 1
        all_there = Residence((True,) * inputs, kept=True, stored=False)
        return self._obeying(kernel, all_there).best is not None

    def check(self, kernel: Kernel) -> None:
        """Raise DoesNotFitError if no tile that obeys fits, wherever feature maps are."""
        if not _is_forced(kernel):
            super().check(kernel)
        elif self(kernel, Residence()).best is None:
            raise DoesNotFitError(self.misfit(kernel))

    def misfit(self, kernel: Kernel) -> str:
        """Why nothing that obeys fits with nothing on chip: demand, bound and lever."""
        ranks = self._obeying(kernel, Residence())
        return f"with {told(kernel)} as the mapping forces, {ranks.misfit}"


def processors_of(kernels: Sequence[Kernel], models: Mapping[str, AnyArray]) -> Processors:
    """The array as each kernel sees it on which a dataflow is forced."""
    found = {}
    for kernel in kernels:
        flow = dataflow_of(kernel)
        if flow is not None:
            found[kernel] = models[flow]
    return found


def dataflow_of(kernel: Kernel) -> Any | None:
    """The dataflow that is forced on a kernel; None if none is."""
    return dict(kernel.forced).get(DATAFLOW) if isinstance(kernel, ForcedGemm) else None


def _is_forced(kernel: Kernel) -> bool:
    return isinstance(kernel, (ForcedGemm, ForcedVector)) and bool(kernel.forced)


def forced_on(kernel: Kernel) -> dict[str, int | str]:
    """What is forced on a kernel, by axis, as a mapping file says it."""
    if not isinstance(kernel, (ForcedGemm, ForcedVector)):
        return {}
    return {
        axis: value.name.lower() if isinstance(value, Enum) else value
        for axis, value in kernel.forced
    }


def told(kernel: Kernel) -> str:
    """What is forced on a kernel, in words."""
    return ", ".join(f"{axis} {value}" for axis, value in forced_on(kernel).items())


def forced_kernels(
    network: Network,
    kernels: Sequence[Kernel],
    meant: Sequence[Kernel],
    target: Target,
    source: Source,
) -> list[Kernel]:
    """The kernels, each carrying what is forced on its layer; raises InputError for what cannot be.

    The source is `meant` for kernels of as many images or more. A layer's own name is stronger than
    a pattern, and a later pattern than an earlier one; a pattern leaves out layers without tiles.
    """
    names = [layer.name for layer in network.layers]
    problems = [*strange_layers(names, source), *_without_tiles(names, meant, source)]
    shapes = [_shape(kernel) for kernel in meant]
    problems += unmatched(source.shaped, shapes)
    by_name, wrong = _by_name(names, meant, target, source)
    problems += wrong
    source = replace(source, layers=by_name)
    made: list[Kernel] = []
    for name, kernel, full in zip(names, kernels, meant, strict=True):
        values, wrong = _values(name, full, target, source)
        problems += wrong
        made.append(
            _carrying(kernel, _at_most(values, choices_of(kernel, target, source.dataflows)))
        )
    if problems:
        raise InputError(in_file_order(problems))
    return made


def _shape(kernel: Kernel) -> Shape:
    """The extents of a convolution or dense layer, as `frontend.foreign_mapping` has them."""
    if not isinstance(kernel, GemmKernel) or kernel.groups > 1:
        return ()
    across = kernel.rows.outputs, kernel.cols.outputs, kernel.rows.kernel, kernel.cols.kernel
    return (kernel.batch, kernel.channels, kernel.filters, *across)


def _by_name(
    names: Sequence[str], kernels: Sequence[Kernel], target: Target, source: Source
) -> tuple[Forced, list[Problem]]:
    """What is forced by shape, as by the names of the layers that have it; names are stronger."""
    by_shape = {shape: each for each in source.shaped for shape in each.cases}
    found: dict[str, Entries] = {}
    problems = []
    for name, kernel in zip(names, kernels, strict=True):
        shaped = by_shape.get(_shape(kernel))
        if shaped is None or not isinstance(kernel, GemmKernel):
            continue
        tiles = shaped.cases[_shape(kernel)]
        fits = FORCED[type(target.processor)].fits
        chosen = next((each for each in tiles if fits(kernel, target, each)), tiles[-1])
        if "cannot" in chosen:
            message = f"layer {name}: {chosen['cannot']}"
            problems.append(replace(shaped.where, message=message))
        found[name] = {} if "cannot" in chosen else chosen
    return {**found, **source.layers}, problems


def _fits(kernel: GemmKernel, target: Target, entries: Entries) -> bool:
    """Whether a tile fits the buffers; of one that cannot be, what is said is that."""
    if "cannot" in entries:
        return True
    names = [item.name for item in fields(GemmTiling)][:8]
    wholes = zip(names, whole_sizes(kernel), strict=True)
    sizes = [np.array([min(int(entries.get(name, whole)), whole)]) for name, whole in wholes]
    return not excess(kernel, target, tilings_of(kernel, sizes))[0][0]


def _carrying(kernel: Kernel, values: Values) -> Kernel:
    """All kernels of a network become such, so that those of one unit stay of one kind."""
    parts = {item.name: getattr(kernel, item.name) for item in fields(kernel)}
    if isinstance(kernel, GemmKernel):
        return ForcedGemm(**parts, forced=values)
    if isinstance(kernel, VectorKernel):
        return ForcedVector(**parts, forced=values)
    return kernel


def strange_layers(names: Sequence[str], source: Source) -> Iterator[Problem]:
    """What a mapping names that is no layer."""
    for piece in source.parts:
        yield from strange_layers(names, piece)
    for pattern in source.layers:
        if not any(_meant(pattern, name) for name in names):
            yield source.problem(("layers", pattern), _strange(pattern, names), at_key=True)


def _strange(pattern: str, names: Sequence[str]) -> str:
    """That no layer is called so, or as a pattern says."""
    if not _PATTERN.intersection(pattern):
        return unknown("layer", pattern, names)
    some = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    return f"no layer matches the pattern {shown(pattern)}; there are {some}"


def _without_tiles(
    names: Sequence[str], kernels: Sequence[Kernel], source: Source
) -> Iterator[Problem]:
    """Patterns that mean nothing but layers that have no tiles."""
    for pattern in source.layers:
        meant = [at for at, name in enumerate(names) if _meant(pattern, name)]
        if meant and pattern not in names and all(isinstance(kernels[at], Alias) for at in meant):
            some = ", ".join(names[at] for at in meant[:_NAMED])
            message = f"matches no layer with tiles, only views such as {some}; leave it out"
            yield source.problem(("layers", pattern), message, at_key=True)


def for_parts(source: Source, parts: Sequence[tuple[Network, int]]) -> list[Source]:
    """What of a mapping is for each part of a network, which runs by itself with its images.

    What is for none of them is left in all, and so refused.
    """
    if len(parts) == 1:
        return [source]
    names = [[layer.name for layer in part.layers] for part, _ in parts]
    shapes = [{_shape(kernel) for kernel in kernels_of(*part)} for part in parts]
    pieces = [_Piece(piece, names, shapes) for piece in source.pieces]
    return [
        _joined(source, [piece.of(*own) for piece in pieces])
        for own in zip(names, shapes, strict=True)
    ]


def _joined(source: Source, pieces: Sequence[Source]) -> Source:
    """A source of those pieces that force something."""
    if not source.parts:
        return pieces[0]
    found = tuple(piece for piece in pieces if piece.layers)
    return replace(source, parts=found) if found else Source(layers={}, name=source.name)


class _Piece:
    """A piece of a mapping, to be taken apart; what is for no part is `strange`."""

    def __init__(
        self, source: Source, names: Sequence[Sequence[str]], shapes: Sequence[set[Shape]]
    ) -> None:
        self.source = source
        every = [name for each in names for name in each]
        known = {name for name in every if name in source.layers}
        self.patterns = [each for each in source.layers if each not in known]
        self.strange = {each for each in self.patterns if not any(_meant(each, n) for n in every)}
        self.shapes = set[Shape]().union(*shapes)

    def of(self, names: Sequence[str], shapes: set[Shape]) -> Source:
        """What is for layers of these names and shapes, and what is for none."""
        own = {*names} | self.strange
        own |= {each for each in self.patterns if any(_meant(each, name) for name in names)}
        layers = {each: its for each, its in self.source.layers.items() if each in own}
        shaped = tuple(
            replace(each, cases=cases)
            for each in self.source.shaped
            if (cases := self._cases(each, shapes))
        )
        return replace(self.source, layers=layers, shaped=shaped)

    def _cases(self, shaped: Shaped, shapes: set[Shape]) -> dict[Shape, Any]:
        """Cases of an entry for these shapes; all of one that is for no layer at all."""
        if self.shapes.isdisjoint(shaped.cases):
            return dict(shaped.cases)
        return {shape: its for shape, its in shaped.cases.items() if shape in shapes}


def _meant(pattern: str, name: str) -> bool:
    return pattern == name or fnmatchcase(name, pattern)


def _values(
    name: str, kernel: Kernel, target: Target, source: Source
) -> tuple[Values, list[Problem]]:
    """What is forced on a layer, and what is wrong with that."""
    asked: dict[str, tuple[str, Entry]] = {}
    for pattern in sorted(source.layers, key=lambda one: one == name):
        if pattern == name or (_meant(pattern, name) and not isinstance(kernel, Alias)):
            asked |= {axis: (pattern, entry) for axis, entry in source.layers[pattern].items()}
    choices = choices_of(kernel, target, source.dataflows)
    values: list[tuple[str, Any]] = []
    problems = []
    for axis, (pattern, entry) in asked.items():
        path = ("layers", pattern, axis)
        if axis not in choices:
            told = unknown("axis", axis, choices) if choices else "has no tiles; leave it out"
            problems.append(source.problem(path, f"layer {name}: {told}", at_key=True))
            continue
        chosen = choices[axis]
        value = chosen.whole if entry == WHOLE and chosen.whole else chosen.allowed(entry)
        if value is None:
            message = f"layer {name}: expected {chosen.expected}, found {entry!r}"
            problems.append(source.problem(path, message))
        else:
            values.append((axis, value))
    order = [*choices]
    return tuple(sorted(values, key=lambda one: order.index(one[0]))), problems


def _at_most(values: Values, choices: "Mapping[str, Choice]") -> Values:
    """What is forced, with no size more than what there is."""
    return tuple(
        (axis, min(value, choices[axis].whole) if choices[axis].whole else value)
        for axis, value in values
    )


@dataclass(frozen=True, slots=True)
class Choice:
    """What an axis can be: a size from `least` to `whole`, or one of some `names`."""

    least: int = 1
    whole: int = 0
    names: Mapping[Entry, Any] | None = None

    def allowed(self, entry: Entry) -> Any | None:
        """What an entry stands for; None for what cannot be."""
        if self.names is not None:
            return self.names.get(entry)
        fits = isinstance(entry, int) and self.least <= entry <= self.whole
        return entry if fits else None

    @property
    def expected(self) -> str:
        """What can be, in words."""
        if self.names is not None:
            return f"one of {', '.join(map(str, self.names))}"
        if self.least == self.whole:
            return f"{self.whole}, which cannot be cut here"
        return f"a size from {self.least} to {self.whole}, or {WHOLE}"


def choices_of(kernel: Kernel, target: Target, dataflows: Sequence[str] = ()) -> dict[str, Choice]:
    """What can be forced on a kernel, by axis; on one for the array, one of its `dataflows`."""
    if isinstance(kernel, VectorKernel):
        return _vector_choices(kernel, target)
    if not isinstance(kernel, GemmKernel):
        return {}
    flows = {DATAFLOW: Choice(names={flow: flow for flow in dataflows})} if dataflows else {}
    return FORCED[type(target.processor)].choices(kernel, target) | flows


def _uncut(target: Target) -> set[str]:
    """Axes that no tile may cut."""
    return set() if target.cuts_windows else {"tap_rows", "tap_cols"}


def _row_choices(kernel: GemmKernel, target: Target) -> dict[str, Choice]:
    limits = most_of(kernel) | {"m": 2 * kernel.filters}  # in whole passes, the last not full
    return _sizes(RowMapping, limits, _uncut(target))


def _systolic_choices(kernel: GemmKernel, target: Target) -> dict[str, Choice]:
    names = [item.name for item in fields(GemmTiling)][:8]
    limits = dict(zip(names, whole_sizes(kernel), strict=True))
    ways = ways_of(kernel, target)
    of_tiles = _sizes(GemmTiling, limits, _uncut(target)) | {
        "order": Choice(names={order.name.lower(): order for order in LoopOrder}),
        "split": Choice(names={way.split: way.split for way in ways}),
        "arrays": Choice(names={number: number for number in range(1, target.arrays + 1)}),
    }
    cut = {
        "cut": Choice(names={axis: axis for axis in AXES}),
        "at": Choice(1, max(limits.values())),
    }
    choices = of_tiles
    for _ in range(PARTS - 1):
        choices = of_tiles | cut | {REST + axis: choice for axis, choice in choices.items()}
    return choices


def _vector_choices(kernel: VectorKernel, target: Target) -> dict[str, Choice]:
    names = [item.name for item in fields(VectorTiling)]
    uncut = set() if kernel.tap_operations else {"tap_rows", "tap_cols"}
    uncut |= {"channels"} if kernel.uncut else set()
    return _sizes(VectorTiling, dict(zip(names, totals(kernel, target), strict=True)), uncut)


def _sizes(kind: type, limits: Mapping[str, int], uncut: set[str]) -> dict[str, Choice]:
    """Choices of the axes of a kind of tiling, those that cannot be cut whole."""
    names = [item.name for item in fields(kind) if item.name in limits]
    return {name: Choice(limits[name] if name in uncut else 1, limits[name]) for name in names}


@dataclass(frozen=True, slots=True)
class ForcedArray:
    """How a kind of array obeys: its tilings that do, what can be forced, and whether that fits."""

    ranks: Callable[[ForcedSearch, ForcedGemm, Residence], ForcedRanks | ForcedRowRanks]
    choices: Callable[[GemmKernel, Target], dict[str, Choice]]
    fits: Callable[[GemmKernel, Target, Entries], bool]


FORCED: dict[type, ForcedArray] = {
    ArrayModel: ForcedArray(forced_ranks, _systolic_choices, _fits),
    RowStationary: ForcedArray(ForcedRowRanks, _row_choices, lambda *_: True),
}
"""Of every kind of array."""
