"""The sizes of a model's inputs that are open in the file: given by name, or sums of such."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_TERM = re.compile(r"[^\W\d][\w.]*|\d{1,9}")


@dataclass
class Sizes:
    """Sizes by name; what is asked for, and what of it is missing, comes together here."""

    given: Mapping[str, int]
    asked: set[str] = field(default_factory=set)
    missing: dict[str, str] = field(default_factory=dict)

    def of(self, each: Any, batch: int) -> Iterator[int]:
        """The sizes of one input of the file, of whose axes `batch` is one image where open.

        A size below 0 is open, as runtimes take it; one of 0 leaves nothing to compute.
        """
        for axis, dim in enumerate(each.type.tensor_type.shape.dim):
            if dim.dim_value > 0 or (dim.HasField("dim_value") and not dim.dim_value):
                yield dim.dim_value
                continue
            name = dim.dim_param or f"{each.name}[{axis}]"
            terms = (name,) if name in self.given else _terms(name)
            how = f"{dim.dim_value}, so open" if dim.dim_value else "open"
            yield sum(self._size(term, how, axis == batch) for term in terms)

    def _size(self, term: str, how: str, batch: bool) -> int:
        if term.isdecimal():
            return int(term)
        self.asked.add(term)
        if term not in self.given and not batch:
            self.missing[term] = how
        return self.given.get(term, 1)


def _terms(name: str) -> tuple[str, ...]:
    """The names and numbers of a sum, such as `past_sequence_length + 1`; else the name itself."""
    terms = tuple(part.strip() for part in name.split("+"))
    return terms if all(map(_TERM.fullmatch, terms)) else (name,)
