"""Tables of a page: they sort by any column, and a cell may hold a picture."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat

from accelsim.report.page.markup import Html, joined, tag, text


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: what is shown, and its class. It sorts by its number, whatever unit that has."""

    shown: str
    kind: str = ""

    @property
    def html(self) -> Html:
        """As markup."""
        attributes: dict[str, str] = {}
        if self.kind:
            attributes["class_"] = self.kind
        if self.kind == "t n":
            attributes["title"] = self.shown
            return tag("td", tag("bdi", self.shown, dir="ltr"), **attributes)
        return tag("td", self.shown, **attributes)


def name(shown: str) -> Cell:
    """A layer's name: long ones lose of their beginning on the screen; the title has them whole.

    The end tells the layers of a block apart. So the cell runs from right to left, and the name
    in it from left to right.
    """
    return Cell(shown, kind="t n" if len(shown) > _LONG else "t")


_LONG = 30


def number(value: int) -> Cell:
    """A whole number."""
    return Cell(f"{value:,}")


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    label: str,
    kind: str = "plain",
    marks: Sequence[int] = (),
) -> Html:
    """A table that sorts; a head that begins with < is of text. `marks` tie rows to a picture."""
    top = joined(_head(each) for each in heads)
    body = joined(
        _row(row, mark) for row, mark in zip(rows, chain(marks, repeat(None)), strict=False)
    )
    whole = tag(
        *("table", tag("thead", tag("tr", top)), tag("tbody", body)), aria_label=label, class_=kind
    )
    return tag("div", whole, class_="scroll", tabindex=0)


def _row(row: Sequence[Cell], mark: int | None) -> Html:
    tied = {} if mark is None else {"data_l": mark}
    return tag("tr", joined(cell.html for cell in row), **tied)


def _head(head: str) -> Html:
    kind = {"class_": "t"} if head.startswith("<") else {}
    shown = head.removeprefix("<")
    inside = tag("button", shown, type="button") if shown else Html("")
    return tag("th", inside, scope="col", **kind)


def folded(summary: str, inside: Html) -> Html:
    """What opens on demand."""
    return tag("details", tag("summary", text(summary)), inside)
