"""What may grow from one result to another, and by how much: for checks that run by themselves."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from accelsim.errors import InputError, Problem, did_you_mean
from accelsim.sweep.difference import COMPARED, WHOLE_RUN, Difference, Item

_LIMIT = re.compile(r"(\w+)\s*=\s*([0-9]+(?:\.[0-9]+)?)\s*%")


@dataclass(frozen=True, slots=True)
class Limit:
    """A quantity that may grow by a share of what it was, of a whole run or any point."""

    quantity: str
    most: float

    def excess(self, item: Item) -> str | None:
        """What is said of an item that is above; None of one that is not."""
        for change in item.changes:
            if change.quantity == self.quantity and change.relative > self.most:
                grown = f"{100 * change.relative:.2f} %" if change.before else "from 0"
                most = f"{100 * self.most:g} %"
                return f"{item.name}: {self.quantity} grew by {grown}, and {most} is allowed"
        return None


def limits_of(texts: Sequence[str]) -> list[Limit]:
    """The limits of texts such as `cycles=1%`; raises InputError with all that are none."""
    limits, problems = [], []
    for text in texts:
        match = _LIMIT.fullmatch(text.strip())
        if match is None:
            message = f"expected a quantity and per cent, such as cycles=1%, found {text!r}"
            problems.append(Problem(message=message, source="--fail-above"))
        elif match[1] not in COMPARED:
            hint = did_you_mean(match[1], COMPARED)
            message = f"unknown quantity {match[1]!r}; {hint}there are {', '.join(COMPARED)}"
            problems.append(Problem(message=message, source="--fail-above"))
        else:
            limits.append(Limit(match[1], float(match[2]) / 100))
    if problems:
        raise InputError(problems)
    return limits


def exceeded(difference: Difference, limits: Sequence[Limit]) -> Iterator[str]:
    """What grew above its limit, of the whole run or of any point."""
    runs = difference.kind == "run"
    items = [item for item in difference.items if not runs or item.name == WHOLE_RUN]
    return (said for limit in limits for item in items if (said := limit.excess(item)) is not None)
