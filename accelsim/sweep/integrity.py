"""Checksums of stored rows: what comes back is what was put, or it is refused by name."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from accelsim.errors import InputError, Problem

_NAMED = 8
_Rows = Callable[[str], Iterable[Sequence[Any]]]


def checksum(values: Iterable[object]) -> str:
    """A hash of the values of a row, of their types too, and of where each ends."""
    return _hash(repr(tuple(values)).encode("utf-8", "backslashreplace"))


def blob_checksum(blob: object) -> str:
    """A hash of bytes; of none where something else stands in their place."""
    return _hash(blob) if isinstance(blob, bytes) else ""


def _hash(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Checked:
    """A table whose rows end with the checksum of their other columns.

    The first column is the row's name. `blob` is a column whose checksum alone is in the row, in
    the column `<blob>_checksum`, so that rows can be checked without it.
    """

    name: str
    columns: tuple[str, ...]
    blob: str = ""

    @property
    def inserted(self) -> str:
        """The SQL that puts a row."""
        return self.inserted_at()

    def inserted_at(self, *places: str) -> str:
        """The same with columns that no checksum is of."""
        names = (*places, *self.columns, "checksum")
        marks = ", ".join(f":{name}" for name in names)
        return f"INSERT OR REPLACE INTO {self.name} ({', '.join(names)}) VALUES ({marks})"

    def sealed(self, row: Mapping[str, object]) -> dict[str, object]:
        """The row with its checksums."""
        row = {**row, f"{self.blob}_checksum": blob_checksum(row[self.blob])} if self.blob else row
        return {**row, "checksum": checksum(row[name] for name in self._summed)}

    @property
    def _summed(self) -> list[str]:
        return [name for name in self.columns if name != self.blob]

    def damaged(self, rows: _Rows) -> Iterator[tuple[int, str]]:
        """Numbers and names of rows that are not what was put; `rows` answers a query."""
        summed = self._summed
        columns = ", ".join([*summed, "checksum", *([self.blob] if self.blob else [])])
        for number, *row in rows(f"SELECT rowid, {columns} FROM {self.name}"):
            values, rest = row[: len(summed)], row[len(summed) :]
            blob_is_whole = not self.blob or blob_checksum(rest[1]) == values[-1]
            if checksum(values) != rest[0] or not blob_is_whole:
                yield number, str(row[0])


def damage(tables: Iterable[Checked], rows: _Rows) -> dict[str, list[tuple[int, str]]]:
    """The damaged rows of each table that has some."""
    found = {table.name: list(table.damaged(rows)) for table in tables}
    return {name: damaged for name, damaged in found.items() if damaged}


def refusal(found: Mapping[str, Sequence[tuple[int, str]]], source: str) -> InputError:
    """What is said of damaged rows, and how they are computed again."""
    problems = []
    for table, rows in found.items():
        more = f" and {len(rows) - _NAMED:,} more" if len(rows) > _NAMED else ""
        listed = ", ".join(name for _, name in rows[:_NAMED]) + more
        message = (
            f"is damaged: {len(rows):,} rows of `{table}` are not what was stored: {listed}; "
            "`accelsim sweep` with --repair drops them and computes them again"
        )
        problems.append(Problem(message=message, source=source))
    return InputError(problems)
