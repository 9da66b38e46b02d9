"""Somebody who asks a buffer for room and the DRAM for transfers, and notes what it gets."""

from dataclasses import dataclass, field


@dataclass(eq=False)
class Waiter:
    """An asker with so many tiles `ahead`; it waits for what it asks for, if there are none.

    `needs` is its room for two tiles of a buffer, all of it in the buffer's first `space` bytes.
    """

    ahead: int = 0
    needs: int = 0
    space: int = 0
    total: int = 0
    work: int = 0
    left: int = 0
    layer: object = None
    grants: int = 0
    arrivals: list[int] = field(default_factory=list)

    @property
    def place(self) -> tuple[int, ...]:
        return ()

    def waits_behind(self, work: int) -> bool:
        return not self.ahead

    def pair(self, buffer: int) -> tuple[int, int]:
        return self.needs, self.space

    def granted(self) -> None:
        self.grants += 1

    def served(self, what: object, is_write: bool, arrival: int) -> None:
        self.arrivals.append(arrival)
