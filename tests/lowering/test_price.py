"""Prices: right for every task, found once, and all that the engine knows of the machine's DRAM."""

from collections.abc import Iterator
from dataclasses import replace

from drawing import drawn
from hypothesis import assume, given
from machines import MACHINES, chain, conv, machine, networks

from accelsim.errors import DoesNotFitError
from accelsim.hardware import Hardware
from accelsim.lowering.lower import lower
from accelsim.lowering.price import Loop, PricedNest, PricedStep, price
from accelsim.lowering.program import Program
from accelsim.lowering.target import Target
from accelsim.lowering.task import Transfer
from accelsim.network.graph import Network


def lowered(network: Network, hardware: Hardware) -> Program:
    try:
        return lower(network, hardware)
    except DoesNotFitError:
        assume(False)
        raise


def unrolled(nest: PricedNest) -> Iterator[PricedStep]:
    for entry in nest:
        if isinstance(entry, Loop):
            for _ in range(entry.times):
                yield from unrolled(entry.body)
        else:
            yield entry


@given(networks(), MACHINES)
@drawn(80, percent=5)
def test_every_task_has_its_price(network: Network, hardware: Hardware) -> None:
    program = lowered(network, hardware)
    for layer in price(program).layers:
        for track, schedule in zip(layer.tracks, layer.program.schedules, strict=True):
            steps = list(schedule.steps)
            for one, step in zip(unrolled(track.nest), steps, strict=True):
                moved = [ask.cycles for ask in one.asks if ask.cycles is not None]
                stored = [] if one.store_cycles is None else [one.store_cycles]
                cycles = [program.target.occupied_cycles(each) for each in step.transfers]
                assert [*moved, *stored] == cycles
                rooms = (*step.reserves, *(load.room for load in step.loads), *step.opens)
                assert tuple(ask.room for ask in one.asks) == rooms
                assert (one.cycles, one.tail) == (step.cycles, step.work.tail)
                assert one.finishes == step.finishes
            assert track.finishing == sum(step.finishes for step in steps)


@given(networks(), MACHINES)
@drawn(60, percent=10)
def test_the_room_of_two_tasks_is_what_they_take(network: Network, hardware: Hardware) -> None:
    """Task by task, without the loops: each next one before the one before it gives back."""
    for layer in price(lowered(network, hardware)).layers:
        for track in layer.tracks:
            held, most = [0] * track.buffers, [0] * track.buffers
            before: PricedStep | None = None
            for step in unrolled(track.nest):
                for ask in step.asks:
                    held[ask.room.buffer] += ask.room.size
                most = [max(pair) for pair in zip(most, held, strict=True)]
                if before is not None:
                    for room in (*before.closes, before.frees, before.stored):
                        if room is not None:
                            held[room.buffer] -= room.size
                before = step
            assert tuple(most) == track.pair


def test_equal_transfers_are_priced_once() -> None:
    asked: list[Transfer] = []

    class Counting(Target):
        def occupied_cycles(self, transfer: Transfer) -> int:
            asked.append(transfer)
            return super().occupied_cycles(transfer)

    program = lower(chain((8, 16, 16), conv(8, 3, 1, 1)), machine(array={"count": 2}))
    fields = {name: getattr(program.target, name) for name in Target.__dataclass_fields__}
    price(replace(program, target=Counting(**fields)))
    assert 0 < len(asked) == len(set(asked)) < sum(layer.tiles for layer in program.layers)


def test_equal_nests_are_one_object() -> None:
    """Three arrays with as much to do, so that what is known of one serves for the others."""
    program = lower(chain((4, 12, 12), conv(12, 3)), machine(array={"count": 3}))
    tracks = price(program).layers[0].tracks
    content = [[step.asks for step in unrolled(track.nest)] for track in tracks]
    assert any(content[at] == content[0] for at in (1, 2))
    for track, steps in zip(tracks, content, strict=True):
        assert (track.nest is tracks[0].nest) == (steps == content[0])
