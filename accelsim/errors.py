"""The one exception tree: what a user can get wrong, and what a simulation can run into."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


class AccelsimError(Exception):
    """Any failure that accelsim explains to its user in words."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the user's input, and where it stands.

    `source` is a file path, a command-line option or "" where neither is known; `line` and
    `column` count from 1, 0 where unknown; `key` is the dotted path of the offending key.
    """

    message: str
    source: str = ""
    line: int = 0
    column: int = 0
    key: str = ""

    def __str__(self) -> str:
        place = self.source
        if self.line:
            place += f":{self.line}"
            if self.column:
                place += f":{self.column}"
        return ": ".join(part for part in (place, self.key, self.message) if part)


class InputError(AccelsimError):
    """The user's file or option is wrong; `problems` lists everything that is, in file order."""

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class ShapeError(AccelsimError):
    """A layer does not fit its inputs; the message says what was needed and what was found."""


class DoesNotFitError(AccelsimError):
    """No tile of a layer fits the buffers; the message says demand, bound and lever."""


class SimulationError(AccelsimError):
    """The engine could not go on; the message lists who waits for what."""


class TryAgainError(AccelsimError):
    """What the work ran on has gone; what is done is kept, and the same command goes on."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`did you mean 'near'? `, to go on from, or nothing where no known name is near."""
    near = get_close_matches(name, [*known], 1)
    return f"did you mean {near[0]!r}? " if near else ""
