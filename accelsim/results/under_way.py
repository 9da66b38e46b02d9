"""Which tasks are under way while a program is played: what every observer of it has to know."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from accelsim.engine.core import Loaded
from accelsim.hardware import Operand
from accelsim.lowering.program import LayerProgram
from accelsim.lowering.task import Step, Tile, Transfer


@dataclass(slots=True)
class TaskUnderWay:
    """A task, the how many-th of its layer on a core, and how many of its loads have begun.

    `addresses` are where its operands lie, for an observer that gives them places.
    """

    layer: LayerProgram
    core: int
    number: int
    tile: Tile
    step: Step
    loaded: int = 0
    addresses: Mapping[Operand, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.layer.layer.name} tile {self.number}"


class TasksUnderWay:
    """The tasks of one program that units have turned to, until nothing of them is left.

    An observer passes on what the engine tells it, and hears whose that is.
    """

    def __init__(self) -> None:
        self._coming: dict[tuple[int, int], Iterator[TaskUnderWay]] = {}
        self._tasks: dict[Loaded, TaskUnderWay] = {}

    def begins(self, task: Loaded) -> TaskUnderWay:
        """The next one of its layer on its core."""
        layer, core = task.part.run.program, task.unit.core.index
        key = core, id(layer)
        if key not in self._coming:
            self._coming[key] = _tasks_of(layer, core)
        its = self._tasks[task] = next(self._coming[key])
        return its

    def computes(self, task: Loaded) -> TaskUnderWay:
        """Whose work starts."""
        its = self._tasks[task]
        if its.step.store is None:
            del self._tasks[task]
        return its

    def transfers(self, task: Loaded, is_write: bool) -> tuple[TaskUnderWay, Transfer]:
        """Whose transfer starts, and which: its next load, or its store."""
        its = self._tasks[task]
        transfer = its.step.store if is_write else its.step.loads[its.loaded]
        assert transfer is not None
        if is_write:
            del self._tasks[task]
        else:
            its.loaded += 1
        return its, transfer


def _tasks_of(layer: LayerProgram, core: int) -> Iterator[TaskUnderWay]:
    """The tasks of a layer on a core, one by one."""
    schedule = layer.schedules[core]
    for number, (tile, step) in enumerate(zip(schedule.tiles(), schedule.steps, strict=True), 1):
        yield TaskUnderWay(layer=layer, core=core, number=number, tile=tile, step=step)
