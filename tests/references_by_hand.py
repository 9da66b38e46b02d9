"""References with chosen numbers."""

from collections.abc import Iterable

from accelsim.validation.outcome import Outcome, compared
from accelsim.validation.reference import Comparison, Reference


def comparison(
    modelled: float, band: float | None = 0.1, case: str = "a", note: str = ""
) -> Comparison:
    """100 ns measured, and `modelled`."""
    return Comparison(case, "time", "ns", 100.0, modelled, band, note)


def reference(name: str, *comparisons: Comparison, error: Exception | None = None) -> Reference:
    """A reference of these comparisons, or one that raises `error`."""

    def compare() -> Iterable[Comparison]:
        yield from comparisons
        if error is not None:
            raise error

    return Reference(name, f"title of {name}", f"source of {name}", f"why {name}", compare)


def outcome(*comparisons: Comparison, name: str = "x") -> Outcome:
    """The outcome of comparing these."""
    return compared(reference(name, *comparisons))
