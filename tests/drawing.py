"""How many inputs a property is tried on."""

from hypothesis import settings


def drawn(cases: int) -> settings:
    """`cases` inputs where the slow tests run, too; else the part that conftest.py says, or 5."""
    percent = settings().max_examples
    return settings(max_examples=max(5, cases * percent // 100))
