"""How many inputs a property is tried on, and how long their tilings are looked for."""

import os
from collections.abc import Callable
from typing import ParamSpec, TypeVar
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st

from accelsim.lowering.search import Ranks

Given = ParamSpec("Given")
Made = TypeVar("Made")

PLAIN = 6
MOST = int(os.environ.get("ACCELSIM_DRAWN", "16"))
"""Percent of the inputs that are drawn in the plain run, and at most in any run.

The plain run draws fewer where a test says so; `.ci/run` with the oldest releases, too.
"""


LETTERS = (st.integers(0, 127) | st.integers(0, 0x10F7FF)).map(
    lambda number: chr(number + 0x800 * (number >= 0xD800))
)
"""Any character but half a pair; `st.characters` makes a table of all for seconds, once a clone."""


def texts(most: int) -> st.SearchStrategy[str]:
    """Texts of up to `most` characters, whatever they are."""
    return st.lists(LETTERS, max_size=most).map("".join)


def is_plain() -> bool:
    """Whether the slow tests are left out."""
    return settings().max_examples == PLAIN


def drawn(cases: int, percent: int = PLAIN) -> settings:
    """`MOST` percent of `cases` inputs where the slow tests run, too; else `percent`, but 3."""
    percent = min(percent, MOST) if is_plain() else settings().max_examples
    return settings(max_examples=max(3, cases * percent // 100))


def any_tilings(lowering: Callable[Given, Made]) -> Callable[Given, Made]:
    """`lowering` for what holds of any tilings: where the slow tests are left out, it takes those
    that the search begins with. Better ones, and cuts in two, took most of the time."""
    if not is_plain():
        return lowering
    return patch.object(Ranks, "refined_within", Ranks.best_within)(lowering)
