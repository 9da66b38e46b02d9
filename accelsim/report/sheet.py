"""Sheets: a title, a table and notes, laid out for the terminal at hand or for a pipe.

A terminal too narrow for all columns leaves out those that matter least, and says so. Where even
the others are too wide, the table is folded: all columns in a few tables below each other, each
with what tells the rows apart. Where that does not do, every row becomes a stack of its cells, one
below the other, each beside its header. A pipe gets every column at its full width, uncoloured.
"""

import io
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from accelsim.text import visible, visible_lines

_UNLIMITED = 10_000
_GAP = 2
_NOTE_WIDTH = 100
_PROSE_WIDTH = 24
_NARROWEST = 12
_MOST_BANDS = 4


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers (flush right), of `text` (flush left), or of `prose`, which may wrap.

    On a narrow terminal the highest `drop` is left out first; 0 is never left out.
    """

    header: str
    drop: int = 0
    text: bool = False
    prose: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Cells in the order of the columns, and rich's style for the row and for single cells."""

    cells: tuple[str, ...]
    style: str = ""
    highlight: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table between its title and notes; `totals` follow the rows under a line.

    In the lines of a `nest`, before the notes, what is inside is indented; `# ` begins a comment.
    """

    title: str
    columns: tuple[Column, ...] = ()
    rows: tuple[Row, ...] = ()
    totals: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()
    nest: tuple[str, ...] = ()


def facts(title: str, pairs: Iterable[tuple[str, str]], notes: Sequence[str] = ()) -> Sheet:
    """A sheet of names and values without headers; long values go on below their beginning."""
    rows = tuple(Row(pair) for pair in pairs)
    return Sheet(
        title=title,
        columns=(Column("", text=True), Column("", prose=True)),
        rows=rows,
        notes=tuple(notes),
    )


def rendered(sheets: Iterable[Sheet], width: int | None = None, encoding: str = "utf-8") -> str:
    """The sheets as text, a blank line between them.

    `width` is the terminal's; None stands for a pipe. What `encoding` lacks is replaced.
    """
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace", newline="\n")
    console = Console(
        file=file,
        width=width or _UNLIMITED,
        height=25,
        force_terminal=width is not None,
        highlight=False,
        markup=False,
        emoji=False,
    )
    for index, sheet in enumerate(sheets):
        if index:
            console.print()
        _print(_seen(sheet), console)
    file.seek(0)
    text = file.read()
    return text if width else "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _seen(sheet: Sheet) -> Sheet:
    """The sheet without anything that a terminal obeys: names come from anybody's files."""
    return Sheet(
        title=visible(sheet.title),
        columns=tuple(replace(each, header=visible_lines(each.header)) for each in sheet.columns),
        rows=tuple(map(_seen_row, sheet.rows)),
        totals=tuple(map(_seen_row, sheet.totals)),
        notes=tuple(map(visible_lines, sheet.notes)),
        nest=tuple(map(visible, sheet.nest)),
    )


def _seen_row(row: Row) -> Row:
    return replace(row, cells=tuple(map(visible, row.cells)))


def _print(sheet: Sheet, console: Console) -> None:
    console.print(sheet.title, style="bold")
    notes = list(sheet.notes)
    if sheet.columns:
        columns, tables = _laid_out(sheet, console)
        for position, each in enumerate(tables):
            if position:
                console.print()
            width = max(console.width, _measured(each, console).minimum)
            console.print(each, width=width, crop=False)
        notes += _left_out(sheet, columns)
        if notes:
            console.print()
    width = min(console.width, _NOTE_WIDTH)
    nest = (part for line in sheet.nest for part in _hanging(line, width))
    for note in (*nest, *notes):
        console.print(note, width=width, style="dim")


def _hanging(line: str, width: int) -> list[str]:
    """A line of a nest in `width`: its comment below it where need be, the rest further in."""
    indent = " " * (len(line) - len(line.lstrip()) + 2 * _GAP)
    code, mark, comment = line.partition("   # ")
    parts = [line] if len(line) <= width or not mark else [code, f"{indent}# {comment}"]
    return [cut for part in parts for cut in textwrap.wrap(part, width, subsequent_indent=indent)]


def _laid_out(sheet: Sheet, console: Console) -> tuple[list[int], list[Table]]:
    """The columns that are shown, and the tables that show them.

    Names go on in the line below only where nothing is left to leave out.
    """
    every, least = list(range(len(sheet.columns))), _least(console)
    for longest in (_UNLIMITED, least):
        room = _room(sheet, console.width, longest)
        columns = _fitting(sheet, room)
        if room.holds(columns):
            return columns, [_table(sheet, columns, longest)]
        if _is_headed(sheet):
            bands = _bands(sheet, room)
            if bands:
                return every, [_table(sheet, band, longest) for band in bands]
    if _is_headed(sheet):
        return every, [_stacked(sheet, console)]
    return columns, [_table(sheet, columns, least)]


def _least(console: Console) -> int:
    """The narrowest that a column of names or prose may be."""
    return min(_PROSE_WIDTH, max(_NARROWEST, console.width // 3))


@dataclass(frozen=True, slots=True)
class _Room:
    """The width of a terminal, and what each column takes of it at least, as rich measures."""

    width: int
    least: tuple[int, ...]

    def taken(self, columns: Sequence[int]) -> int:
        """The least width of a table of some columns, with gaps between them."""
        return sum(self.least[each] + _GAP for each in columns) - _GAP

    def holds(self, columns: Sequence[int]) -> bool:
        """Whether a table of some columns fits."""
        return self.taken(columns) <= self.width


def _room(sheet: Sheet, width: int, longest: int) -> _Room:
    least = (
        max(_longest_word(sheet, each), _least_width(sheet, each, longest))
        for each in range(len(sheet.columns))
    )
    return _Room(width, tuple(least))


def _longest_word(sheet: Sheet, column: int) -> int:
    """Cells of the terminal that a column takes where all of its words wrap."""
    entries = [sheet.columns[column].header] * _is_headed(sheet)
    entries += [row.cells[column] for row in (*sheet.rows, *sheet.totals)]
    return max((cell_len(word) for entry in entries for word in entry.split()), default=0)


def _fitting(sheet: Sheet, room: _Room) -> list[int]:
    """The columns that fit, by index."""
    columns = list(range(len(sheet.columns)))
    for rank in sorted({column.drop for column in sheet.columns} - {0}, reverse=True):
        if room.holds(columns):
            break
        columns = [index for index in columns if sheet.columns[index].drop != rank]
    return columns


def _bands(sheet: Sheet, room: _Room) -> list[list[int]]:
    """All columns in tables below each other, each with those that tell the rows apart.

    None where that takes more than a few tables, or a column is too wide by itself.
    """
    key = _key(sheet)
    bands = [key]
    for index in range(len(key), len(sheet.columns)):
        if len(bands[-1]) > len(key) and not room.holds([*bands[-1], index]):
            bands.append(key)
        bands[-1] = [*bands[-1], index]
    good = bool(key) and len(bands) <= _MOST_BANDS
    return bands if good and all(map(room.holds, bands)) else []


def _key(sheet: Sheet) -> list[int]:
    """The first columns that tell the rows apart; none of a table of one row, or of twins."""
    rows = [row.cells for row in sheet.rows]
    for count in range(1, len(sheet.columns)):
        if 1 < len(rows) == len({cells[:count] for cells in rows}):
            return list(range(count))
    return []


def _is_headed(sheet: Sheet) -> bool:
    return any(column.header for column in sheet.columns)


def _in_a_line(header: str) -> str:
    """A header that went on in further lines; after a dot or underscore within its name."""
    return re.sub(r"(?<=[._])\n", "", header).replace("\n", " ")


def _stacked(sheet: Sheet, console: Console) -> Table:
    """Each cell that says something behind its header; a long one goes on below its beginning."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    headers = [_in_a_line(column.header) for column in sheet.columns]
    prose = any(column.prose for column in sheet.columns)
    rows = [*sheet.rows, *sheet.totals]
    widest = max((cell_len(cell) for row in rows for cell in row.cells), default=0)
    head = min(max(map(cell_len, headers)), max(console.width // 2, _NARROWEST))
    beside = max(console.width - head - 2, _NARROWEST)
    table.add_column(min_width=head, max_width=head, overflow="fold")
    least = min(beside, _PROSE_WIDTH) if prose else beside
    table.add_column(min_width=min(widest, least), overflow="fold")
    for position, row in enumerate(rows):
        if position:
            table.add_row("", "")
        for index, (header, cell) in enumerate(zip(headers, row.cells, strict=True)):
            if cell:
                text = Text(cell, style="green" if index in row.highlight else "")
                table.add_row(header, text, style=row.style or ("bold" if not index else ""))
    return table


def _left_out(sheet: Sheet, columns: Sequence[int]) -> list[str]:
    names = [
        _in_a_line(column.header)
        for index, column in enumerate(sheet.columns)
        if index not in columns
    ]
    if not names:
        return []
    return [f"Left out for want of width: {', '.join(names)}."]


def _measured(table: Table, console: Console) -> Measurement:
    return Measurement.get(console, console.options.update(max_width=_UNLIMITED), table)


def _table(sheet: Sheet, columns: Sequence[int], longest: int) -> Table:
    """Some columns; names and prose take at least `longest`, or what they have."""
    table = Table(
        box=box.SIMPLE_HEAD,
        show_header=_is_headed(sheet),
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        header_style="bold",
    )
    for index in columns:
        column, least = sheet.columns[index], _least_width(sheet, index, longest)
        table.add_column(
            column.header,
            justify="left" if column.text or column.prose else "right",
            min_width=least,
            overflow="fold",
            no_wrap=least >= _width(sheet, index),  # else rich takes from it as from prose
        )
    for row in sheet.rows:
        _add(table, row, columns)
    if sheet.totals:
        table.add_section()
    for row in sheet.totals:
        _add(table, row, columns)
    return table


def _least_width(sheet: Sheet, index: int, longest: int) -> int:
    """What a column takes at least: numbers what they have."""
    column = sheet.columns[index]
    if column.prose:
        return min(_PROSE_WIDTH, longest)
    return min(_width(sheet, index), longest) if column.text else _width(sheet, index)


def _width(sheet: Sheet, column: int) -> int:
    """Cells of the terminal that the widest entry of a column takes, its header included."""
    entries = (row.cells[column] for row in (*sheet.rows, *sheet.totals))
    return max(map(cell_len, [*sheet.columns[column].header.split("\n"), *entries]))


def _add(table: Table, row: Row, columns: Sequence[int]) -> None:
    cells = (
        Text(row.cells[index], style="green" if index in row.highlight else "") for index in columns
    )
    table.add_row(*cells, style=row.style)
