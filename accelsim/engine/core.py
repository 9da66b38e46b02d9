"""A core, and what is under way on it: parts of layers, and loaded tasks."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from accelsim.engine.clock import Clock, State
from accelsim.engine.memory import Buffer, DramChannel
from accelsim.engine.scheduler import LayerRun, Timeline
from accelsim.lowering.price import PricedStep, Track

if TYPE_CHECKING:
    from accelsim.engine.leap import Leaper
    from accelsim.engine.unit import Unit


@dataclass(frozen=True, slots=True)
class Core:
    """One array with its vector unit: they share the buffers, and the DRAM with other cores.

    `leaper` leaps over what goes as before; None: everything is played. `changeover` are cycles
    that the array takes, once it has drained, to change its dataflow.
    """

    clock: Clock
    index: int
    buffers: tuple[Buffer, ...]
    dram: DramChannel
    leaper: "Leaper | None"
    changeover: int = 0
    units: "list[Unit]" = field(default_factory=list)

    def unfinished(self, run: LayerRun) -> int:
        """Ofmap tiles of a layer under way that are still to come from this core."""
        parts = [unit.part for unit in self.units if unit.part is not None]
        return sum(part.unfinished for part in parts if part.run is run)


@dataclass(slots=True, eq=False)
class Part:
    """A unit's part of a layer, and what it sees of it: `line` from the start of its first task.

    `unfinished` counts the ofmap tiles to come, `under_way` the tasks from loading to put away,
    `left` the cycles of the tasks to hand over.
    """

    run: LayerRun
    track: Track
    spaces: tuple[int, ...]
    unfinished: int
    left: int
    under_way: int = 0
    line: Timeline | None = None


@dataclass(slots=True, eq=False)
class Loaded:
    """A task that is loaded, or has been: the unit's `index`th.

    `pending` transfers have not begun yet, and `arrival` is the cycle of the last one (0: no
    loads). `room_at` is when all room was there; `crowded`: until then another unit's tiles held
    some of it, and the unit's own stores none.
    """

    unit: "Unit"
    part: Part
    step: PricedStep
    index: int
    pending: int
    arrival: int = 0
    room_at: int = 0
    crowded: bool = False

    @property
    def place(self) -> State:
        """Which task it is, counted back from the one that is being loaded."""
        return self.unit.tasks - self.index, self.step
