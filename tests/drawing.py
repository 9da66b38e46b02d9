"""How many inputs a property is tried on."""

from hypothesis import settings


def drawn(cases: int, percent: int | None = None) -> settings:
    """`cases` inputs where the slow tests run, too; else `percent` of them, but 5 at least.

    By itself as much of them as conftest.py says.
    """
    part = settings().max_examples
    if part < 100 and percent is not None:
        part = percent
    return settings(max_examples=max(5, cases * part // 100))
