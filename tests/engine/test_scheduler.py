"""Which layer a unit turns to next: what the definition says, without looking at all of them."""

import simpy
from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st
from machines import chain, conv, machine

from accelsim.engine.clock import Clock
from accelsim.engine.scheduler import LayerRun, Queue
from accelsim.lowering.lower import lower

LAYER = lower(chain((1, 2, 2), conv(1)), machine()).layers[0]


class Watched(simpy.Event):
    """An event that counts how often it is asked whether it has happened."""

    asked = 0

    @property
    def triggered(self) -> bool:
        Watched.asked += 1
        return super().triggered


def runs_of(events: list[Watched]) -> list[LayerRun]:
    return [
        LayerRun(program=LAYER, tracks=(), inputs=event, filters=event, done=event, parts=1)
        for event in events
    ]


@given(st.integers(1, 12), st.integers(0, 12), st.lists(st.integers(0, 11) | st.none()))
@drawn(200)
def test_the_first_whose_inputs_exist_else_the_first(
    layers: int, early: int, acts: list[int | None]
) -> None:
    """The first `early` ones have theirs before there is a queue; None in `acts` takes one."""
    clock = Clock()
    runs = runs_of([Watched(clock) for _ in range(layers)])
    for run in runs[:early:2]:
        run.inputs.succeed()
    queue, left = Queue(runs), list(runs)
    for act in [*acts, *(None for _ in runs)]:
        if act is None and left:
            wanted = next((run for run in left if run.inputs.triggered), left[0])
            left.remove(wanted)
            assert queue.take() is wanted
        elif act is not None and act < layers and not runs[act].inputs.triggered:
            runs[act].inputs.succeed()
            runs[act].look(runs[act].inputs)
        assert bool(queue) == bool(left)


def test_the_work_does_not_grow_with_those_that_wait() -> None:
    clock = Clock()
    runs = runs_of([Watched(clock) for _ in range(500)])
    queue, Watched.asked = Queue(runs), 0
    for run in runs:
        assert queue.take() is run
    assert Watched.asked <= len(runs)
