"""What `accelsim validate` prints: what was measured, what accelsim says, and why they differ."""

import math
from collections.abc import Iterator
from dataclasses import replace

from accelsim.report.quantities import NONE
from accelsim.report.sheet import Column, Row, Sheet
from accelsim.validation.outcome import ROUNDING, Outcome, Tally, Validation, magnitude
from accelsim.validation.reference import Comparison

ROWS_SHOWN = 36
"""A reference with more comparisons is summed up by quantity."""

WITHOUT = (
    "Nothing here judges: energy and area, the vector unit, what stays on chip between layers, "
    "branches, whole networks, training."
)
"""What nothing here is held against."""

_SIGNIFICANT = 4
_CASES_NAMED = 4
_ROW_COLUMNS = (
    Column("case", text=True),
    Column("quantity", text=True),
    Column("unit", drop=1, text=True),
    Column("measured"),
    Column("accelsim"),
    Column("error %"),
    Column("band %"),
    Column("", text=True),
)
_TALLY_COLUMNS = (
    Column("rows"),
    Column("exact"),
    Column("mean %"),
    Column("worst %"),
    Column("band %"),
)
_GROUP_COLUMNS = (
    Column("quantity", text=True),
    *_TALLY_COLUMNS,
    Column("worst case", text=True),
    Column("", text=True),
)


def validation_sheets(validation: Validation, every_row: bool = False) -> list[Sheet]:
    """Each reference, by row or summed up, then all of them in one table.

    `every_row` shows the comparisons of long references one by one, too.
    """
    sheets = [_reference(outcome, every_row) for outcome in validation.outcomes]
    return [*sheets, _summary(validation)]


def number(value: float) -> str:
    """Four significant digits, but never fewer than the whole part: `1,575`, `12.30`."""
    if not math.isfinite(value):
        return str(value)
    exponent = int(f"{abs(value):.{_SIGNIFICANT - 1}e}".partition("e")[2])
    return f"{value:,.{max(_SIGNIFICANT - 1 - max(exponent, 0), 0)}f}"


def signed_percent(comparison: Comparison) -> str:
    """The error with its sign: `+4.0`; `exact` where both say the same."""
    if magnitude(comparison) <= ROUNDING:
        return "exact"
    return f"{100 * comparison.error:+.1f}"


def _percent(fraction: float | None) -> str:
    if fraction is None:
        return NONE
    return "exact" if fraction <= ROUNDING else f"{100 * fraction:.1f}"


def _reference(outcome: Outcome, every_row: bool) -> Sheet:
    reference = outcome.reference
    notes = (*_notes(outcome), f"Source: {reference.source}", f"Model: {reference.assumption}")
    title = f"{reference.name}: {reference.title}"
    if outcome.failure:
        return Sheet(title=title, notes=(f"NOT COMPARED: {outcome.failure}", *notes))
    if every_row or len(outcome.comparisons) <= ROWS_SHOWN:
        sheet = Sheet(
            title=title,
            columns=_ROW_COLUMNS,
            rows=tuple(map(_row, outcome.comparisons)),
            notes=notes,
        )
    else:
        groups = tuple(_group(*group) for group in outcome.by_quantity.items())
        sheet = Sheet(title=title, columns=_GROUP_COLUMNS, rows=groups, notes=notes)
    return sheet if outcome.tally.outside else _without_last_column(sheet)


def _without_last_column(sheet: Sheet) -> Sheet:
    """The sheet without the column that says what is outside."""
    rows = tuple(replace(row, cells=row.cells[:-1]) for row in sheet.rows)
    return replace(sheet, columns=sheet.columns[:-1], rows=rows)


def _row(comparison: Comparison) -> Row:
    cells = (
        comparison.case,
        comparison.quantity,
        comparison.unit,
        number(comparison.measured),
        number(comparison.modelled),
        signed_percent(comparison),
        _percent(comparison.band),
        "" if comparison.passed else "OUTSIDE",
    )
    style = "dim" if comparison.band is None else "" if comparison.passed else "bold red"
    return Row(cells, style)


def _group(quantity: str, tally: Tally) -> Row:
    worst = tally.worst.case if tally.worst and magnitude(tally.worst) > ROUNDING else ""
    cells = (quantity, *_tally(tally), worst, "OUTSIDE" if tally.outside else "")
    return Row(cells, "bold red" if tally.outside else "")


def _tally(tally: Tally) -> tuple[str, ...]:
    """The cells under `_TALLY_COLUMNS`."""
    bands = list(dict.fromkeys(_percent(band) for band in tally.bands))
    return (
        f"{len(tally.judged):,}",
        f"{tally.exact:,}",
        _percent(tally.mean_absolute_error),
        signed_percent(tally.worst) if tally.worst else NONE,
        "-".join(dict.fromkeys((bands[0], bands[-1]))) if bands else NONE,
    )


def _notes(outcome: Outcome) -> Iterator[str]:
    """Each different note once, with what it is about."""
    noted: dict[str, list[Comparison]] = {}
    for each in outcome.comparisons:
        if each.note:
            noted.setdefault(each.note, []).append(each)
    for note, rows in noted.items():
        quantities = ", ".join(dict.fromkeys(row.quantity for row in rows))
        cases = dict.fromkeys(row.case for row in rows)
        where = ", ".join(cases) if len(cases) <= _CASES_NAMED else f"{len(cases):,} cases"
        yield f"{quantities} of {where}: {note}"


def _summary(validation: Validation) -> Sheet:
    columns = (Column("reference", text=True), *_TALLY_COLUMNS, Column("verdict", prose=True))
    rows = tuple(map(_summed, validation.outcomes))
    failed = [each.reference.name for each in validation.outcomes if not each.passed]
    verdict = f"OUTSIDE: {', '.join(failed)}." if failed else "No judged error leaves its band."
    legend = (
        "rows, mean, worst: of the rows that are judged, each against its band; within: those "
        "whose error is no larger. Rows without a band are shown, with the reason; beyond the "
        "aim: those of them whose error is larger than the band that was set for them, or, where "
        "none was, than every band of their reference."
    )
    return Sheet(title="Summary", columns=columns, rows=rows, notes=(verdict, legend, WITHOUT))


def _summed(outcome: Outcome) -> Row:
    verdict = "NOT COMPARED" if outcome.failure else ", ".join(_verdict(outcome.tally))
    cells = (outcome.reference.name, *_tally(outcome.tally), verdict)
    return Row(cells, "" if outcome.passed else "bold red")


def _verdict(tally: Tally) -> Iterator[str]:
    """How many comparisons are within their bands, and what became of all others."""
    yield f"{len(tally.judged) - len(tally.outside):,} within"
    if tally.outside:
        yield f"{len(tally.outside):,} OUTSIDE"
    others = [each for each in tally.comparisons if each.band is None]
    beyond = [each for each in others if magnitude(each) > _aim(each, tally)]
    if beyond:
        worst = signed_percent(max(beyond, key=magnitude))
        yield f"{len(beyond):,} beyond the aim, worst {worst} %"
    if len(beyond) < len(others):
        yield f"{len(others) - len(beyond):,} not judged"


def _aim(comparison: Comparison, tally: Tally) -> float:
    """The error that a row without a band was to stay within."""
    return max(tally.bands, default=0.0) if comparison.aim is None else comparison.aim
