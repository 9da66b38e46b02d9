"""The one exception tree: what a user can get wrong, and what a simulation can run into."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from accelsim.text import cut, nearest, shown, visible, visible_lines

_LONGEST_MESSAGE = 2000
_LONGEST_KEY = 200
_LONGEST_PLACE = 600
_MOST_TOLD = 50
_MANY = 4  # problems that are told together where they are alike
_NAMED = 3
_PREFIX = 3  # letters that tell a name


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
        message = visible_lines(cut(self.message, _LONGEST_MESSAGE))
        where = visible(cut(place, _LONGEST_PLACE)), visible(cut(self.key, _LONGEST_KEY))
        return ": ".join(part for part in (*where, message) if part)


class InputError(AccelsimError):
    """The user's file or option is wrong; `problems` lists everything that is, in file order."""

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems = (problems,) if isinstance(problems, Problem) else tuple(problems)
        lines = list(_lines(self.problems))
        told = lines[:_MOST_TOLD]
        more = len(lines) - len(told)
        super().__init__("\n".join(told + ([f"... and {more:,} more"] if more else [])))


def _lines(problems: Iterable[Problem]) -> Iterator[str]:
    """A line for each problem, and one for several alike whose keys alone differ."""
    found: dict[object, list[Problem]] = {}
    for each in problems:
        same = (each.message, each.source) if each.key and not each.line else id(each)
        found.setdefault(same, []).append(each)
    for first, *rest in found.values():
        keys = several([first.key, *(each.key for each in rest)])
        yield from map(str, (first, *rest) if keys is None else (replace(first, key=keys),))


def several(names: Sequence[str], what: str = "keys") -> str | None:
    """Many names in short, behind their number; None for few, which are told one by one."""
    if len(names) < _MANY:
        return None
    return f"{len(names):,} {what} ({', '.join(names[:_NAMED])}, ...)"


def alike(layers: Sequence[str]) -> list[str]:
    """Layers of which one thing is to be said: each by itself, or many in one line."""
    together = several(layers, "layers")
    return [f"layer {name}" for name in layers] if together is None else [together]


@dataclass(frozen=True, slots=True)
class Coverage:
    """One operator: its nodes, those of them that are refused, MACs, and why the first was.

    Where it multiplies and its MACs are not `counted`, its share of them is not known.
    """

    operator: str
    nodes: int
    refused: int
    macs: int
    share: float
    reason: str
    first: str
    counted: bool = True

    @property
    def told_share(self) -> str:
        """Its share of the MACs in words."""
        return f"{self.share:.1%}" if self.counted else "an unknown share"


class UncoveredError(InputError):
    """A model with operators that cannot be simulated; `rows` are all that it has."""

    def __init__(self, problems: Iterable[Problem], rows: Sequence[Coverage]) -> None:
        super().__init__(problems)
        self.rows = tuple(rows)


class UnknownNameError(AccelsimError, KeyError):
    """Something is asked for by a name that it does not have; the message says a near one."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"unknown {kind} {shown(name)}; {did_you_mean(name, known)}".rstrip("; "))

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError would quote it


class ShapeError(AccelsimError):
    """A layer does not fit its inputs; the message says what was needed and what was found."""


class DoesNotFitError(AccelsimError):
    """No tile of a layer fits the buffers; the message says demand, bound and lever."""


class SimulationError(AccelsimError):
    """The engine could not go on; the message lists who waits for what."""


class TryAgainError(AccelsimError):
    """What the work ran on has gone; what is done is kept, and the same command goes on."""


def reason(error: Exception) -> str:
    """Why a path cannot be used, in words."""
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)


def _longer(name: str, known: Iterable[str]) -> str | None:
    """The known name that begins as `name` does, case ignored; the shortest of several."""
    begun = [each for each in known if each.casefold().startswith(name.casefold())]
    return min(begun, key=len) if len(name) >= _PREFIX and begun else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`did you mean 'near'? `, to go on from, or nothing where no known name is near."""
    names = [*known]
    near = _longer(name, names) or nearest(name, names)
    return f"did you mean {near!r}? " if near else ""
