"""Sheets on consoles of any width."""

import pytest
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from accelsim.report.sheet import Column, Row, Sheet, _measured, _room, _table, rendered

SHEET = Sheet(
    "title",
    (
        Column("layer", text=True),
        Column("first", drop=2),
        Column("second", drop=1),
        Column("kept"),
        Column("prose", drop=3, prose=True),
    ),
    (Row(("[red]a[/red]", "1", "22", "333", "some words that may wrap")),),
    (Row(("total", "1", "22", "333", ""), style="bold"),),
    ("A note.",),
)


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No colours, so that text can be compared."""
    monkeypatch.setenv("TERM", "dumb")


def text(width: int) -> str:
    """The sheet on a terminal."""
    return "".join(f"{line.rstrip()}\n" for line in rendered([SHEET], width).splitlines())


NEST = (
    "for tap rows in 5 turns of 1:   # next ifmap and filter",
    "  for channels in 3 turns of 128 (last 64):   # next psum",
    "    a tile: rows 10",
)


def test_a_nest_keeps_its_indentation() -> None:
    """Comments go below where a line is too long; what goes on does so further in."""
    told = Sheet("", nest=NEST)
    assert tuple(rendered([told]).splitlines()[1:]) == NEST
    assert [line.rstrip() for line in rendered([told], 40).splitlines()[1:]] == [
        "for tap rows in 5 turns of 1:",
        "    # next ifmap and filter",
        "  for channels in 3 turns of 128 (last",
        "      64):",
        "      # next psum",
        "    a tile: rows 10",
    ]


def test_a_pipe_gets_everything() -> None:
    assert rendered([SHEET]) == text(200)


def test_exact_text_at_full_width() -> None:
    assert rendered([SHEET]).splitlines() == [
        "title",
        "layer         first  second  kept  prose",
        "─" * 59,
        "[red]a[/red]      1      22   333  some words that may wrap",
        "",
        "total             1      22   333",
        "",
        "A note.",
    ]


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        (59, ""),
        (58, "prose"),
        (33, "prose"),
        (32, "first, prose"),
        (26, "first, prose"),
        (25, "first, second, prose"),
    ],
)
def test_the_highest_drop_goes_first(width: int, left_out: str) -> None:
    """Widths: layer 12, first 5, second 6, kept 4, prose 24, and 2 between columns."""
    _, said, names = text(width).replace("\n", " ").partition("Left out for want of width: ")
    assert names.strip() == (f"{left_out}." if said else "")
    assert bool(said) == bool(left_out)


@pytest.mark.parametrize("width", range(4, 70))
def test_no_cell_is_ever_cut(width: int) -> None:
    printed = text(width)
    assert "…" not in printed
    assert "[red]a[/red]" in printed
    assert "333" in printed


WORDS = st.lists(st.sampled_from(["a", "word", "\u5377\u7a4d", "1,234", "-" * 30]), max_size=3)
COLUMNS = st.builds(
    Column,
    st.lists(st.sampled_from(["util %", "x", "", "a_longer_header"]), max_size=2).map("\n".join),
    text=st.booleans(),
    prose=st.booleans(),
)


@given(st.data(), st.lists(COLUMNS, min_size=1, max_size=4), st.integers(1, 3), st.integers(12, 40))
@drawn(400)
def test_a_table_takes_what_rich_measures(
    data: st.DataObject, columns: list[Column], count: int, longest: int
) -> None:
    lines = st.tuples(*[WORDS.map(" ".join)] * len(columns)).map(Row)
    rows = tuple(data.draw(lines) for _ in range(count))
    sheet = Sheet("", tuple(columns), rows, rows[:1])
    every = range(len(columns))
    measured = _measured(_table(sheet, every, longest), Console(width=80))
    assert _room(sheet, 80, longest).taken(every) == measured.minimum


def test_sheets_are_parted_by_a_blank_line() -> None:
    assert rendered([Sheet("one"), Sheet("two")]) == "one\n\ntwo\n"


def test_what_the_encoding_lacks_is_replaced() -> None:
    printed = rendered([Sheet("µ", SHEET.columns, SHEET.rows)], encoding="ascii")
    assert printed.splitlines()[0] == "?"
    assert printed.isascii()


def wide(rows: int) -> Sheet:
    """A name and five columns of numbers that are all asked for: 4, and 2 + 8 each, wide."""
    columns = (Column("name", text=True), *(Column(f"number_{each}") for each in range(5)))
    return Sheet("Wide", columns, tuple(Row((f"r{at}", *"12345")) for at in range(rows)))


def columns_of(sheet: Sheet, width: int) -> list[list[str]]:
    """The headers of each table."""
    lines = rendered([sheet], width).replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()
    return [line.split() for line in lines if "number_0 " in line or line.startswith("name")]


@pytest.mark.usefixtures("_plain")
@pytest.mark.parametrize("width", [54, 53, 36, 24])
def test_what_is_asked_for_is_folded_and_rows_stay_comparable(width: int) -> None:
    """Each table has the name, and as many numbers of 10 as fit beside its 4."""
    tables = columns_of(wide(3), width)
    beside = (width - 4) // 10
    assert all(headers[0] == "name" for headers in tables)
    assert [len(headers) - 1 for headers in tables][:-1] == [beside] * (len(tables) - 1)
    numbers = [header for headers in tables for header in headers[1:]]
    assert numbers == [f"number_{each}" for each in range(5)]


@pytest.mark.usefixtures("_plain")
@pytest.mark.parametrize(("rows", "width"), [(1, 53), (3, 14)])
def test_one_row_and_too_many_tables_are_stacked(rows: int, width: int) -> None:
    """A table for each of five numbers is more than four of them."""
    assert "number_0  1" in rendered([wide(rows)], width).replace("\x1b[1m", "")
