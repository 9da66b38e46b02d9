"""What changed between two results: two sweeps point by point, or two runs layer by layer."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelsim.errors import InputError, Problem
from accelsim.results import SCHEMA
from accelsim.sweep.quantities import RESULT_QUANTITIES
from accelsim.sweep.results_file import is_results_file
from accelsim.sweep.run_file import WHOLE_RUN, layers_of, read_run
from accelsim.sweep.store import Store
from accelsim.text import cut

__all__ = ["COMPARED", "WHOLE_RUN", "Change", "Difference", "Item", "difference"]

Number = int | float
COMPARED = (
    *(name for name in RESULT_QUANTITIES if "image" not in name),
    *("energy_pj", "energy_pj_per_mac"),
)
"""Quantities that are compared where both sides have them."""


@dataclass(frozen=True, slots=True)
class Change:
    """A quantity that is different in `before` and `after`."""

    quantity: str
    before: Number
    after: Number

    @property
    def relative(self) -> float:
        """Growth relative to before; infinite from zero."""
        growth = self.after - self.before
        return growth / abs(self.before) if self.before else float("inf") * growth


@dataclass(frozen=True, slots=True)
class Item:
    """A point, a layer or a whole run that both sides have, and what is different in it.

    `status` tells where one side failed, empty where neither or both did.
    """

    name: str
    changes: tuple[Change, ...]
    status: str = ""

    @property
    def differs(self) -> bool:
        """Whether anything is different."""
        return bool(self.changes or self.status)


@dataclass(frozen=True, slots=True)
class Difference:
    """Two results compared: `items` are what both have, the rest what only one has.

    `settings` are those of the hardware, and what else made the runs, that differ.
    """

    kind: str
    before: str
    after: str
    items: tuple[Item, ...]
    only_before: tuple[str, ...] = ()
    only_after: tuple[str, ...] = ()
    facts: tuple[tuple[str, str, str], ...] = ()
    settings: tuple[tuple[str, str, str], ...] = ()

    @property
    def changed(self) -> tuple[Item, ...]:
        """What is different."""
        return tuple(item for item in self.items if item.differs)

    @property
    def same(self) -> bool:
        """Whether nothing is."""
        return not (self.changed or self.only_before or self.only_after)

    def rows(self) -> list[dict[str, object]]:
        """A flat record for each change."""
        return [
            {
                "name": item.name,
                "quantity": change.quantity,
                "before": change.before,
                "after": change.after,
                "relative": change.relative,
            }
            for item in self.changed
            for change in item.changes
        ]

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "schema": SCHEMA,
            "kind": self.kind,
            "before": self.before,
            "after": self.after,
            "same": self.same,
            "compared": len(self.items),
            "settings": [
                {"key": key, "before": was, "after": now} for key, was, now in self.settings
            ],
            "changes": self.rows(),
            "status": {item.name: item.status for item in self.items if item.status},
            "only_before": list(self.only_before),
            "only_after": list(self.only_after),
        }


def difference(before: str, after: str) -> Difference:
    """Compare two results files of sweeps, or two of `accelsim run --json`.

    Raises InputError for a file that is neither, or two that do not compare.
    """
    paths = Path(before), Path(after)
    sweeps = [_is_sweep(path) for path in paths]
    if sweeps == [True, True]:
        return _of_sweeps(*paths)
    if any(sweeps):
        message = "one is a sweep's results file and the other is not; give two of a kind"
        raise InputError(Problem(message=message, source=f"{before} and {after}"))
    return of_runs(before, read_run(paths[0]), after, read_run(paths[1]))


def _is_sweep(path: Path) -> bool:
    if not os.path.isfile(path):
        raise InputError(Problem(message="no such file", source=str(path)))
    return is_results_file(path)


# --- Sweeps ---------------------------------------------------------------------------------------


def _of_sweeps(before: Path, after: Path) -> Difference:
    with Store.read(before) as one, Store.read(after) as other:
        both = set(one.parameters()) & set(other.parameters())
        names = [name for name in one.parameters() if name in both]
        tables = [_by_parameters(store, names) for store in (one, other)]
        facts = (
            ("sweep", one.about.name, other.about.name),
            ("accelsim", one.about.version, other.about.version),
            ("points", f"{one.count():,}", f"{other.count():,}"),
        )
    items, only_before, only_after = _matched(*tables)
    return Difference(
        kind="sweep",
        before=str(before),
        after=str(after),
        items=items,
        only_before=only_before,
        only_after=only_after,
        facts=facts,
    )


def _by_parameters(store: Store, names: Sequence[str]) -> dict[str, Mapping[str, object]]:
    """Records by what people call them; raises InputError if two have one name."""
    table: dict[str, Mapping[str, object]] = {}
    for record in store.records():
        name = ", ".join(f"{key}={record[key]}" for key in names)
        if name in table:
            message = (
                f"two of its points are {name}, for the other file varies other keys; give two "
                "sweeps of the same keys"
            )
            raise InputError(Problem(message=message, source=str(store.path)))
        table[name] = record
    return table


# --- Runs -----------------------------------------------------------------------------------------


def of_runs(
    before: str, one: Mapping[str, Any], after: str, other: Mapping[str, Any]
) -> Difference:
    """Two runs in their JSON form compared, called by these names."""
    facts = tuple(
        (name, cut(str(one.get(name)), 100), cut(str(other.get(name)), 100))
        for name in ("network", "hardware", "dataflow", "batch", "clock_hz")
    )
    items, only_before, only_after = _matched(layers_of(one), layers_of(other))
    return Difference(
        kind="run",
        before=before,
        after=after,
        items=items,
        only_before=only_before,
        only_after=only_after,
        facts=facts,
        settings=tuple(_settings(one, other)),
    )


def _settings(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """What made the runs and is different, where both say it."""
    made, remade = before.get("made_by"), after.get("made_by")
    if not isinstance(made, dict) or not isinstance(remade, dict):
        return
    one, other = dict(_flat(made)), dict(_flat(remade))
    for key in dict.fromkeys((*one, *other)):
        was, now = one.get(key, "not given"), other.get(key, "not given")
        if was != now:
            yield key, was, now


def _flat(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What made a run, by its keys; what is among the facts is left out."""
    for key in ("accelsim", "network_sha256"):
        yield key, cut(str(value.get(key)), _SHOWN)
    asked, hardware = value.get("asked"), value.get("hardware")
    if isinstance(asked, dict):
        yield from _leaves({key: its for key, its in asked.items() if key != "network"}, "")
    if isinstance(hardware, dict):
        yield from _leaves(hardware, "")


def _leaves(value: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for key, inner in value.items():
        if isinstance(inner, dict) and path.count(".") < _DEEPEST:
            yield from _leaves(inner, f"{path}{key}.")
        else:
            yield f"{path}{key}", cut(str(inner), _SHOWN)


_SHOWN, _DEEPEST = 60, 8
"""Characters of a value, and levels of a hardware file, that are told apart."""


# --- Both -----------------------------------------------------------------------------------------


def _matched(
    before: Mapping[str, Mapping[str, object]], after: Mapping[str, Mapping[str, object]]
) -> tuple[tuple[Item, ...], tuple[str, ...], tuple[str, ...]]:
    """What both have, and what only one has."""
    items = tuple(_item(name, before[name], after[name]) for name in before if name in after)
    only_before = tuple(name for name in before if name not in after)
    return items, only_before, tuple(name for name in after if name not in before)


def _item(name: str, before: Mapping[str, object], after: Mapping[str, object]) -> Item:
    was, now = before.get("status"), after.get("status")
    status = f"{was} before, {now} after" if was != now else ""
    return Item(name, tuple(_changes(before, after)), status)


def _changes(before: Mapping[str, object], after: Mapping[str, object]) -> Iterable[Change]:
    for name in COMPARED:
        was, now = before.get(name), after.get(name)
        if isinstance(was, (int, float)) and isinstance(now, (int, float)) and was != now:
            yield Change(name, was, now)
