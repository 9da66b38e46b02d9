"""Text from files made safe to show: a name may hold anything, and a terminal obeys some of it."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from html import escape
from itertools import islice
from reprlib import Repr

_LONGEST_COMPARED = 64
_MOST_COMPARED = 1000
_MOST_PARTS = 20


def visible(text: str) -> str:
    r"""`text` on one line, with what is not seen as itself written out: \x1b, \n, \u202e.

    These are control characters, changes of direction, half a surrogate pair, odd blanks.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _written_out(each) for each in text)


def visible_lines(text: str) -> str:
    """As `visible`, but that lines stay lines."""
    return "\n".join(map(visible, text.split("\n")))


def _written_out(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def cell(value: object) -> object:
    """A value for CSV; no text that a spreadsheet takes for a formula, or that is not seen."""
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


_FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""And their wide forms, which some take for the same."""


def cut(text: str, longest: int) -> str:
    """`text`, or its beginning where it is longer."""
    return text if len(text) <= longest else f"{text[:longest]}..."


def shown(value: object) -> str:
    """A value for a message, as `repr` but never long."""
    return _SHORT.repr(value)


class _Short(Repr):
    """As Python's own, but for numbers with more digits than it writes."""

    def repr_int(self, value: int, level: int) -> str:
        """The digits, or how many bits there are of them."""
        if value.bit_length() > _MOST_BITS:
            return f"a whole number of {value.bit_length():,} bits"
        return super().repr_int(value, level)


_MOST_BITS = 2000
_SHORT = _Short()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlong = 40
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 8


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`; None where none is near, or the search is long."""
    if len(name) > _LONGEST_COMPARED:
        return None
    names = [each for each in islice(known, _MOST_COMPARED) if len(each) <= _LONGEST_COMPARED]
    alike = [each for each in names if each.casefold() == name.casefold()]
    return next(iter(alike or get_close_matches(name, names, 1)), None)


def parts_of(name: str, known: Iterable[str]) -> str:
    """`it became 'ct/0_0', 'ct/whole'`: the layers that a layer or block was unfolded into."""
    parts = [repr(each) for each in known if each.startswith(f"{name}/")]
    if not parts:
        return ""
    more = f" and {len(parts) - _MOST_PARTS:,} more" if len(parts) > _MOST_PARTS else ""
    return f"it became {', '.join(parts[:_MOST_PARTS])}{more}"


def html_table(title: str, headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table for notebooks: the first column flush left, the others flush right."""

    def safe(value: object) -> str:
        return escape(visible(str(value)))

    def line(cells: Iterable[object], tag: str) -> str:
        made = (
            f'<{tag} style="text-align:{"right" if index else "left"}">{safe(cell)}</{tag}>'
            for index, cell in enumerate(cells)
        )
        return f"<tr>{''.join(made)}</tr>"

    head = f"<thead>{line(headers, 'th')}</thead>"
    body = "".join(line(row, "td") for row in rows)
    return f"<p><b>{safe(title)}</b></p><table>{head}<tbody>{body}</tbody></table>"
