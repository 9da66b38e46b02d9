"""Kinds of tiles of a vector kernel: along each axis a full piece, and a rest if it is uneven."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from accelsim.lowering.target import Sizes

Cycles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Kinds:
    """Kinds of tiles: sizes along each axis, and how many there are of each.

    Every size has a dimension of its own before the one of the tilings: of full pieces and of what
    is left. `each` is how many tiles there are of the kind.
    """

    sizes: tuple[Sizes, ...]
    each: Sizes


def kinds_of(tilings: Sizes, totals: Sequence[int], apart: bool) -> Kinds:
    """The kinds of tiles of `tilings`, shape (axes, tilings), of axes as long as `totals`.

    If rests are not told `apart`, all tiles count as full ones, as many as there is work for.
    """
    sizes, counts = [], []
    for place, (total, size) in enumerate(zip(totals, tilings, strict=True)):
        full, rest = total // size, total % size
        pair = ([size, np.maximum(rest, 1)], [full, np.minimum(rest, 1)])
        if not apart:
            pair = ([size], [total / size])
        elif not rest.any():
            pair = ([size], [full])
        shape = [1] * len(totals) + [len(size)]
        shape[place] = len(pair[0])
        sizes.append(np.array(pair[0]).reshape(shape))
        counts.append(np.array(pair[1]).reshape(shape))
    return Kinds(tuple(sizes), reduce(np.multiply, counts))


def over_kinds(counts: Sizes | Cycles) -> Cycles:
    """The sum over all kinds of tiles."""
    return np.asarray(counts.sum(axis=(0, 1, 2, 3, 4, 5)), dtype=float)


def largest(sizes: Sizes | Cycles) -> Cycles:
    """Of the full tile."""
    return np.asarray(sizes[0, 0, 0, 0, 0, 0], dtype=float)
