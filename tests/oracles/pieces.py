"""Pieces of pixels entering a systolic array one by one, on a clock."""

from collections.abc import Iterator, Sequence


def cut(line: int, piece: int) -> list[int]:
    """One row of pixels, piece by piece."""
    return [min(piece, line - start) for start in range(0, line, piece)]


def entries(
    steps: Sequence[int], folds: int, least: int, loading: int, room: tuple[int, int]
) -> Iterator[int]:
    """When each piece of `folds` alike folds enters, and at last when one more could.

    A piece takes its pixels, at least `least`, and the first of a fold `loading` cycles, beside
    which the next filters come in. `room`: pieces that the array holds (0: any number), and how
    long after its last pixel a piece is out.
    """
    most, way = room
    now, out = 0, []
    for index in range(folds * len(steps) + 1):
        if most and index >= most:
            now = max(now, out[index - most])
        yield now
        at = index % len(steps)
        taken = max(steps[at], least, 0 if at else loading)
        now += taken
        out.append(now + way)
