"""What `accelsim diff` prints."""

import math
from collections.abc import Iterator

from accelsim.report.sheet import Column, Row, Sheet, facts
from accelsim.report.sweep import value_text
from accelsim.sweep.difference import Change, Difference, Item

ITEMS_SHOWN = 40
_NOUNS = {"sweep": "points", "run": "layers"}


def difference_sheets(difference: Difference) -> list[Sheet]:
    """What is said differently, the changes, and what only one side has."""
    title = f"{difference.before} -> {difference.after}"
    differing = [(name, f"{a} -> {b}" if a != b else a) for name, a, b in difference.facts]
    sheets = [facts(title, differing, notes=(_verdict(difference),))]
    if difference.settings:
        sheets.append(_settings(difference))
    if difference.changed:
        sheets.append(_changes(difference))
    only = (("before", difference.only_before), ("after", difference.only_after))
    for side, names in only:
        if names:
            shown = tuple(Row((name,)) for name in names[:ITEMS_SHOWN])
            more = len(names) - len(shown)
            notes = (f"... and {more:,} more.",) if more else ()
            column = Column("", text=True)
            sheets.append(
                Sheet(
                    title=f"Only {side}: {len(names):,}", columns=(column,), rows=shown, notes=notes
                )
            )
    return sheets


def _settings(difference: Difference) -> Sheet:
    columns = [Column(head, text=True) for head in ("setting", "before", "after")]
    return Sheet(
        title="Settings that differ",
        columns=tuple(columns),
        rows=tuple(map(Row, difference.settings)),
    )


def _verdict(difference: Difference) -> str:
    noun = _NOUNS[difference.kind]
    compared = len(difference.items)
    if difference.same:
        return f"Nothing changed: all {compared:,} {noun} that both have are equal."
    return f"{len(difference.changed):,} of {compared:,} {noun} that both have are different."


def _changes(difference: Difference) -> Sheet:
    columns = (
        Column(_NOUNS[difference.kind], text=True),
        Column("quantity", text=True),
        Column("before"),
        Column("after"),
        Column("change %"),
    )
    shown = difference.changed[:ITEMS_SHOWN]
    more = len(difference.changed) - len(shown)
    notes = (f"... and {more:,} more; --csv has all.",) if more else ()
    rows = tuple(row for item in shown for row in _rows(item))
    return Sheet(title="What changed", columns=columns, rows=rows, notes=notes)


def _rows(item: Item) -> Iterator[Row]:
    name = item.name
    if item.status:
        yield Row((name, "status", "", "", item.status), "bold red")
        name = ""
    for change in item.changes:
        yield Row((name, change.quantity, *_numbers(change)))
        name = ""


def _numbers(change: Change) -> tuple[str, str, str]:
    relative = change.relative
    percent = f"{100 * relative:+.2f}" if math.isfinite(relative) else "from 0"
    return value_text(change.before), value_text(change.after), percent
