"""Weights that several layers share, on chip from the first of these to the last."""

from dataclasses import dataclass, field, replace

from drawing import any_tilings, drawn
from hypothesis import event, given
from hypothesis import strategies as st
from machines import machine, split, unified

from accelsim.engine.core import Loaded
from accelsim.engine.machine import play
from accelsim.hardware import Hardware
from accelsim.lowering.lower import lower
from accelsim.lowering.program import Program
from accelsim.lowering.spec import program_problems
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import Add, Dense
from accelsim.results.player import timed

SIZE = 12


def shared(*owners: str, beside: int = 0, wide: int = 0) -> Network:
    """A chain of layers, each with the weight of the first one of its letter.

    So many layers `beside` read the input, too; a last one, `wide`, reads the chain.
    """
    specs: list[LayerSpec] = []
    first: dict[str, str] = {}
    before = "x"
    for at, letter in enumerate(owners):
        name = f"{letter}{at}"
        op = Dense(out_features=SIZE, bias=False, shares=first.get(letter))
        specs.append(LayerSpec(name, op, (before,)))
        first.setdefault(letter, name)
        before = name
    for at in range(beside):
        specs.insert(at, LayerSpec(f"beside{at}", Dense(out_features=SIZE), ("x",)))
    if beside:
        sides = tuple(f"beside{at}" for at in range(beside))
        specs.append(LayerSpec("sum", Add(), (before, *sides)))
        before = "sum"
    if wide:
        specs.append(LayerSpec("wide", Dense(out_features=wide), (before,)))
    return build_network("shared", {"x": (SIZE,)}, specs)


@dataclass
class Watch:
    """Bytes of tiles in the filters' buffer over time, and when each layer first loads filters."""

    buffer: str
    tiles: list[tuple[int, int]] = field(default_factory=list)
    loads: dict[str, int] = field(default_factory=dict)

    def begins(self, task: Loaded) -> None:
        """A load is yet to come."""

    def computes(self, task: Loaded, at: int) -> None:
        """It takes no room."""

    def transfers(self, task: Loaded, at: int, cycles: int, is_write: bool) -> None:
        self.loads.setdefault(task.part.run.program.layer.name, at)

    def holds(self, core: int, buffer: str, size: int, at: int) -> None:
        if buffer == self.buffer:
            self.tiles.append((at, size))


def most_taken(program: Program) -> tuple[int, int]:
    """Bytes of tiles and kept weights in the filters' buffer, where most; and its size."""
    buffer = program.target.buffers[program.target.buffer_index("filter")]
    watch = Watch(buffer.name)
    ends = [time.end for time in play(program, observer=watch, leaps=False)]
    lives = []
    for layer in program.layers:
        if layer.placement.residence.filter == "kept":
            name = layer.layer.name
            users = [end for end, each in zip(ends, program.layers, strict=True) if of(each, name)]
            lives.append((watch.loads[name], max(users), layer.dram.filter_read_bytes))
    moments = [*watch.tiles, *((start, None) for start, _, _ in lives)]
    most = taken = 0
    for at, tiles in sorted(moments, key=lambda each: each[0]):
        taken = taken if tiles is None else tiles
        most = max(most, taken + sum(size for start, end, size in lives if start <= at < end))
    return most, buffer.size


def of(layer: object, name: str) -> bool:
    return name in (layer.layer.name, layer.layer.op.owner_of_parameters)  # type: ignore[attr-defined]


MACHINES = st.builds(
    lambda size, one, cycles: machine(
        unified(f"{2 * size} B") if one else split(filters=f"{size} B"),
        dram={"bandwidth": "1 B/cycle", "latency": f"{cycles} cycles"},
        residency="on",
    ),
    st.integers(100, 900),
    st.booleans(),
    st.sampled_from([0, 40]),
)
CHAINS = st.builds(
    lambda owners, beside, wide: shared(*owners, beside=beside, wide=wide),
    st.lists(st.sampled_from("abcdef"), min_size=2, max_size=7),
    st.integers(0, 2),
    st.sampled_from([0, 40]),
)


lowered_somehow = any_tilings(lower)


@given(CHAINS, MACHINES)
@drawn(60, percent=10)
def test_there_is_room_for_what_stays_and_it_comes_once(
    network: Network, hardware: Hardware
) -> None:
    program = lowered_somehow(network, hardware)
    assert not list(program_problems(program))
    most, size = most_taken(program)
    assert most <= size
    kept = [layer for layer in program.layers if layer.placement.residence.filter == "kept"]
    event(f"{len(kept)} kept")
    off = lowered_somehow(network, hardware.model_copy(update={"residency": "off"}))
    now, then = timed(program), timed(off)
    assert then.dram.total_bytes - now.dram.total_bytes == now.dram_saved_bytes >= 0
    for layer in program.layers:
        there = layer.placement.residence.filter == "there"
        assert bool(layer.dram.filter_read_bytes) == (layer.unit == "array" and not there)


def test_a_weight_of_many_steps_is_read_once() -> None:
    program = lower(shared(*"aaaa"), machine(split(filters="500 B"), residency="on"))
    read = [layer.dram.filter_read_bytes for layer in program.layers]
    assert read == [SIZE * SIZE, 0, 0, 0]


def test_without_room_it_is_read_each_time() -> None:
    program = lower(shared(*"aaaa"), machine(split(filters="143 B"), residency="on"))
    assert [layer.dram.filter_read_bytes for layer in program.layers] == 4 * [SIZE * SIZE]


def test_what_needs_the_room_waits_and_the_watch_sees_if_it_does_not() -> None:
    """A layer behind whose tiles fill the buffer brings none before the last user is done."""
    hardware = machine(split(filters="150 B"), residency="on")
    program = lower(shared(*"aaa", wide=40), hardware)
    assert program.layers[-1].placement.filters_follow == (2,)
    most, size = most_taken(program)
    assert most <= size
    free = replace(program.layers[-1].placement, filters_follow=(), follows=())
    layers = (*program.layers[:-1], replace(program.layers[-1], placement=free))
    most, size = most_taken(replace(program, layers=layers))
    assert most > size
