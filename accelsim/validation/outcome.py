"""What became of the references: their comparisons, counted and judged, and the JSON form."""

import math
from dataclasses import asdict, dataclass
from math import fsum
from typing import Any

from accelsim.arguments import checked
from accelsim.errors import UnknownNameError
from accelsim.validation.reference import Comparison, Reference

SCHEMA = 1
ROUNDING = 1e-12
"""Relative errors up to this are floating point's own: the same numbers, summed otherwise."""


def magnitude(comparison: Comparison) -> float:
    """The error without its sign; infinite for what is no number."""
    return math.inf if math.isnan(comparison.error) else abs(comparison.error)


@dataclass(frozen=True, slots=True)
class Tally:
    """Comparisons taken together. The errors are of those that have a band."""

    comparisons: tuple[Comparison, ...]

    @property
    def judged(self) -> tuple[Comparison, ...]:
        """Those with a band."""
        return tuple(each for each in self.comparisons if each.band is not None)

    @property
    def outside(self) -> tuple[Comparison, ...]:
        """Those whose error leaves its band."""
        return tuple(each for each in self.comparisons if not each.passed)

    @property
    def exact(self) -> int:
        """How many of the judged say the same number, but for floating point's rounding."""
        return sum(magnitude(each) <= ROUNDING for each in self.judged)

    @property
    def mean_absolute_error(self) -> float | None:
        """Mean size of the relative errors; None where nothing is judged."""
        sizes = [magnitude(each) for each in self.judged]
        return fsum(sizes) / len(sizes) if sizes else None

    @property
    def worst(self) -> Comparison | None:
        """The judged comparison of the largest error, the first of equals."""
        return max(self.judged, key=magnitude, default=None)

    @property
    def bands(self) -> tuple[float, ...]:
        """The different bands, ascending."""
        return tuple(sorted({each.band for each in self.judged if each.band is not None}))


@dataclass(frozen=True, slots=True)
class Outcome:
    """A reference with its comparisons, or with `failure`: why it could not be compared."""

    reference: Reference
    comparisons: tuple[Comparison, ...]
    failure: str = ""

    @property
    def tally(self) -> Tally:
        """All comparisons together."""
        return Tally(self.comparisons)

    @property
    def by_quantity(self) -> dict[str, Tally]:
        """The comparisons of each quantity, in the order of the first of them."""
        groups: dict[str, list[Comparison]] = {}
        for each in self.comparisons:
            groups.setdefault(each.quantity, []).append(each)
        return {quantity: Tally(tuple(group)) for quantity, group in groups.items()}

    @property
    def passed(self) -> bool:
        """Whether there are judged comparisons, and all of them are within their bands."""
        return not self.failure and bool(self.tally.judged) and not self.tally.outside

    def as_dict(self) -> dict[str, Any]:
        """The JSON form; an error that is not finite becomes null where it is written."""
        tally, reference = self.tally, self.reference
        return {
            "name": reference.name,
            "title": reference.title,
            "source": reference.source,
            "assumption": reference.assumption,
            "passed": self.passed,
            "failure": self.failure or None,
            "rows": len(self.comparisons),
            "judged": len(tally.judged),
            "exact": tally.exact,
            "outside": len(tally.outside),
            "mean_absolute_error": tally.mean_absolute_error,
            "worst": _as_dict(tally.worst) if tally.worst else None,
            "comparisons": [_as_dict(each) for each in self.comparisons],
        }


def _as_dict(comparison: Comparison) -> dict[str, Any]:
    values = asdict(comparison)
    note = values.pop("note")
    return {**values, "error": comparison.error, "passed": comparison.passed, "note": note}


@dataclass(frozen=True, slots=True)
class Validation:
    """The outcomes of the references that were asked for, in the catalogue's order."""

    outcomes: tuple[Outcome, ...]

    @property
    def passed(self) -> bool:
        """Whether every reference passed."""
        return all(outcome.passed for outcome in self.outcomes)

    @checked
    def outcome(self, name: str) -> Outcome:
        """The outcome of the reference called `name`; raises UnknownNameError, a KeyError."""
        for outcome in self.outcomes:
            if outcome.reference.name == name:
                return outcome
        known = [outcome.reference.name for outcome in self.outcomes]
        raise UnknownNameError("reference", name, known)

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "schema": SCHEMA,
            "passed": self.passed,
            "references": [outcome.as_dict() for outcome in self.outcomes],
        }

    def rows(self) -> list[dict[str, Any]]:
        """One record per comparison, for CSV."""
        return [
            {"reference": outcome.reference.name, **_as_dict(each)}
            for outcome in self.outcomes
            for each in outcome.comparisons
        ]


def compared(reference: Reference) -> Outcome:
    """Compare a reference. One that cannot run says why, and does not hide the others."""
    try:
        comparisons = tuple(reference.compare())
    except Exception as error:  # whatever it is, it belongs in the table
        return Outcome(reference, (), f"{type(error).__name__}: {error}")
    judged = any(each.band is not None for each in comparisons)
    return Outcome(reference, comparisons, "" if judged else "it judges no number")
