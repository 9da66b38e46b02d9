"""How many inputs a property is tried on."""

import os

from hypothesis import settings

PLAIN = 6
MOST = int(os.environ.get("ACCELSIM_DRAWN", "16"))
"""Percent of the inputs that are drawn in the plain run, and at most in any run.

The plain run draws fewer where a test says so; `.ci/run` with the oldest releases, too.
"""


def is_plain() -> bool:
    """Whether the slow tests are left out."""
    return settings().max_examples == PLAIN


def drawn(cases: int, percent: int = PLAIN) -> settings:
    """`MOST` percent of `cases` inputs where the slow tests run, too; else `percent`, but 3."""
    percent = min(percent, MOST) if is_plain() else settings().max_examples
    return settings(max_examples=max(3, cases * percent // 100))
