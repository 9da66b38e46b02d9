"""A place in nested loops: where a loader is in its layer's tasks."""

from collections.abc import Callable

from accelsim.lowering.price import PricedNest, PricedStep


class Frame:
    """A nest that is gone through: its next entry, and how many turns are `left` to begin."""

    __slots__ = ("index", "left", "nest")

    def __init__(self, nest: PricedNest, left: int) -> None:
        self.nest = nest
        self.index = 0
        self.left = left


class Cursor:
    """Goes through a nest step by step; before a loop's next turn it calls `turned`."""

    def __init__(self, nest: PricedNest, turned: Callable[[Frame], None]) -> None:
        self.frames = [Frame(nest, 0)]
        self.turned = turned

    def next(self) -> PricedStep | None:
        """The next step, or None behind the last."""
        frames = self.frames
        while frames:
            frame = frames[-1]
            if frame.index < len(frame.nest):
                entry = frame.nest[frame.index]
                frame.index += 1
                if isinstance(entry, PricedStep):
                    return entry
                frames.append(Frame(entry.body, entry.times - 1))
                continue
            if frame.left:
                self.turned(frame)
            if frame.left:
                frame.left -= 1
                frame.index = 0
            else:
                frames.pop()
        return None

    @property
    def place(self) -> tuple[tuple[int, int], ...]:
        """In which loops it is, and where in each, but for the turns; else where in the nest."""
        return tuple([(id(frame.nest), frame.index) for frame in self.frames[1:] or self.frames])

    @property
    def turns(self) -> tuple[int, ...]:
        """Turns to begin of each loop."""
        return tuple([frame.left for frame in self.frames[1:]])

    @property
    def entry(self) -> int:
        """How many entries of the whole nest it has begun with."""
        return self.frames[0].index if self.frames else 0

    def skip(self, turns: tuple[int, ...]) -> None:
        """Leave out turns of each loop."""
        for frame, fewer in zip(self.frames[1:], turns, strict=True):
            frame.left -= fewer
            assert frame.left >= 0
