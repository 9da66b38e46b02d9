"""HTML in which whatever is not markup is escaped, so that no name can be more than text."""

from collections.abc import Iterable
from html import escape

from accelsim.text import visible

Value = str | int | float


class Html(str):
    """Markup: what `tag` has made."""

    __slots__ = ()


def text(content: str) -> Html:
    """Text as markup; what is not seen as itself is written out."""
    return Html(escape(visible(content), quote=True))


def tag(element: str, /, *inside: str, **attributes: Value) -> Html:
    """An element; an attribute's name may end in _, and - stands for the other underscores."""
    pairs = [f" {_named(key)}={_quoted(str(value))}" for key, value in attributes.items()]
    body = "".join(each if isinstance(each, Html) else text(each) for each in inside)
    end = "" if element in _OPEN else f"</{element}>"
    return Html(f"<{element}{''.join(pairs)}>{body}{end}")


def joined(parts: Iterable[Html]) -> Html:
    """Several pieces of markup, one after another."""
    return Html("".join(parts))


_OPEN = frozenset({"meta", "td", "th", "tr", "li"})
"""Elements that HTML lets end where the next begins: a third of a table's bytes."""
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_%:#")


def _named(key: str) -> str:
    return key.removesuffix("_").replace("_", "-")


def _quoted(value: str) -> str:
    bare = bool(value) and _BARE.issuperset(value)
    return value if bare else f'"{text(value)}"'
