"""What bounds a network on a hardware, and what would help most: re-run with each resource relaxed.

A resource is doubled (a latency halved), everything else stays, and the whole network is lowered
and played again: tilings change with the hardware, as they would.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from accelsim.arguments import checked
from accelsim.errors import DoesNotFitError
from accelsim.facade import simulate
from accelsim.given import HardwareLike, MappingLike, NetworkLike, hardware_of, network_of
from accelsim.hardware import BEST, DATAFLOWS, SYSTOLIC, WITH_SPADS, Hardware
from accelsim.lowering.laws import DATAFLOW_OF
from accelsim.network.graph import Network
from accelsim.results import Bound, RunResult
from accelsim.text import html_table, visible
from accelsim.units import Duration, Rate
from accelsim.written import nested, settings

Resource = Literal["array", "buffer", "vector", "dram"]
Relax = Callable[[object], object | None]
EACH, ALL = "*", "**"
LEAST = 0.0005
"""Savings below this share of the cycles are not spoken of: they round to 0.0 %."""


def twice(value: object) -> object | None:
    """A count, size or rate doubled; None where there is no limit to relax."""
    if isinstance(value, Rate):
        return Rate(2 * value.amount, value.per_cycle)
    return 2 * value if isinstance(value, int) else None


def half(value: object) -> object | None:
    """A time halved; None for none."""
    if isinstance(value, Duration) and value.amount:
        return Duration(value.amount / 2, value.in_cycles)
    return None


def pipelined(value: object) -> object | None:
    """Shadow registers, where there are none."""
    return "pipelined" if value == "serial" else None


@dataclass(frozen=True, slots=True)
class Relaxation:
    """A resource made less scarce: the key of the hardware file, and what its value becomes.

    In the key, `*` stands for each buffer by itself, whose name the action takes, and `**` for
    all buffers, where there are several; `+` joins keys that change together. `dataflows`
    are those that the key has an effect on.
    """

    resource: Resource
    action: str
    key: str
    relax: Relax
    dataflows: tuple[str, ...] = (*DATAFLOWS, BEST)


_PES = "array.row_stationary"
RELAXATIONS = (
    Relaxation(resource="array", action="doubling the array's rows", key="array.rows", relax=twice),
    Relaxation(
        resource="array", action="doubling the array's columns", key="array.cols", relax=twice
    ),
    Relaxation(
        resource="array", action="doubling the number of arrays", key="array.count", relax=twice
    ),
    Relaxation(
        resource="array",
        action="pipelining the folds",
        key="array.fold_overlap",
        relax=pipelined,
        dataflows=(*SYSTOLIC, BEST),
    ),
    Relaxation(resource="buffer", action="doubling {}", key="buffers.*.size", relax=twice),
    Relaxation(
        resource="buffer", action="doubling every buffer", key="buffers.**.size", relax=twice
    ),
    Relaxation(
        resource="buffer",
        action="doubling the bandwidth of {}",
        key="buffers.*.bandwidth",
        relax=twice,
    ),
    Relaxation(
        resource="buffer",
        action="doubling the ifmap network",
        key=f"{_PES}.ifmap_network",
        relax=twice,
        dataflows=WITH_SPADS,
    ),
    Relaxation(
        resource="buffer",
        action="doubling the filter network",
        key=f"{_PES}.filter_network",
        relax=twice,
        dataflows=WITH_SPADS,
    ),
    Relaxation(
        resource="buffer",
        action="doubling the psum networks",
        key=f"{_PES}.psum_in_network+psum_out_network",
        relax=twice,
        dataflows=WITH_SPADS,
    ),
    Relaxation(
        resource="vector",
        action="doubling the vector unit's lanes",
        key="vector_unit.lanes",
        relax=twice,
    ),
    Relaxation(
        resource="dram", action="doubling the DRAM bandwidth", key="dram.bandwidth", relax=twice
    ),
    Relaxation(
        resource="dram",
        action="doubling the DRAM channels",
        key="dram.timing.channels",
        relax=twice,
    ),
    Relaxation(resource="dram", action="halving the DRAM latency", key="dram.latency", relax=half),
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a change adds to a chip: PEs, bytes of SRAM, and bytes of registers in the PEs.

    Registers are the shadow registers of pipelined folds alone: those of a PE come with it.
    """

    pes: int = 0
    sram_bytes: int = 0
    register_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """A relaxation tried: the run's cycles with it, None where a layer does not fit.

    `saved_energy` is a share like `saved`; None where the hardware names no energy table.
    """

    resource: Resource
    action: str
    cycles: int | None
    saved: float
    saved_energy: float | None = None
    cost: Cost = Cost()

    def as_dict(self) -> dict[str, Any]:
        """The JSON form; `saved` is the share of the cycles, negative where it costs some."""
        return asdict(self)


_BOUNDS: dict[Bound, str] = {  # a layer that costs nothing has none of them
    "array": "the array",
    "buffer": "the bandwidth of a buffer",
    "vector": "the vector unit",
    "dram": "DRAM",
}


@dataclass(frozen=True, slots=True, repr=False)
class Why:
    """What bounds a run, and what each change would save; the most helpful change comes first.

    `shares` are of the layers' own cycles, without waits for other layers, by what bounds the
    layer.
    """

    network: str
    hardware: str
    dataflow: str
    cycles: int
    shares: dict[Bound, float]
    changes: tuple[Change, ...]

    @property
    def bound(self) -> Bound:
        """What bounds the layers of most cycles."""
        return max(self.shares, key=lambda name: self.shares[name])

    @property
    def helpful(self) -> tuple[Change, ...]:
        """The two changes that save most, and the one that saves most of another resource."""
        good = [change for change in self.changes if change.saved >= LEAST]
        others = [change for change in good if change.resource != good[0].resource]
        return tuple(dict.fromkeys((*good[:2], *others[:1])))

    @property
    def sentence(self) -> str:
        """All of this in one plain sentence."""
        subject = f"{self.network} on {self.hardware} ({self.dataflow})"
        if not self.cycles:
            return f"{subject} takes no time: it computes nothing."
        share = f"{100 * self.shares[self.bound]:.1f} % of its cycles"
        return f"{subject} is bound by {_BOUNDS[self.bound]} for {share}; {self._advice}."

    @property
    def _advice(self) -> str:
        if not self.helpful:
            return f"none of {len(self.changes)} changes, one resource doubled in each, would help"
        best, *others = self.helpful
        told = [f"{best.action} would save {100 * best.saved:.1f} %"]
        told += [f"{each.action} {100 * each.saved:.1f} %" for each in others]
        if all(each.resource == best.resource for each in others):
            told.append("and no other resource would help")
        return ", ".join(told)

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "sentence": self.sentence,
            "bound": self.bound if self.cycles else None,
            "bound_shares": self.shares,
            "changes": [change.as_dict() for change in self.changes],
        }

    def __repr__(self) -> str:
        """One line: what bounds the run, and how many changes were tried."""
        what = visible(f"{self.network} on {self.hardware}, {self.dataflow}")
        return f"<Why {what}: bound by {_BOUNDS[self.bound]}, {len(self.changes)} changes tried>"

    def _repr_html_(self) -> str:
        """What each change would save, for notebooks."""
        rows = [
            (each.action, "-" if each.cycles is None else f"{each.cycles:,}", f"{each.saved:+.1%}")
            for each in self.changes
        ]
        return html_table(self.sentence, ("change", "cycles", "time saved"), rows)


@checked
def what_would_help(
    network: NetworkLike,
    hardware: HardwareLike,
    dataflow: str | None = None,
    batch: int = 1,
    set: Sequence[str] = (),
    mapping: MappingLike | None = None,
) -> Why:
    """Simulate `network` on `hardware`, and again with each of its resources relaxed.

    A resource is doubled, a latency halved, serial folds pipelined; the rest stays. The answer's
    `sentence` says it in words, `changes` has each with its cycles and its cost. A `mapping` is
    forced on every one of the runs, so that only the resource differs. Names and paths are loaded.
    Raises what `simulate` does.
    """
    model, machine = network_of(network), hardware_of(hardware, dataflow, set)
    result = simulate(model, machine, batch=batch, mapping=mapping)
    return explained(result, model, machine, mapping=mapping)


def explained(
    result: RunResult,
    network: Network,
    hardware: Hardware,
    progress: Callable[[str], None] = lambda action: None,
    mapping: MappingLike | None = None,
) -> Why:
    """Why `result`, of `network` on `hardware`, takes its time; `progress` hears of each re-run.

    The `mapping` that was forced on it is forced on them.
    """
    changes = []
    for resource, action, machine in relaxed(hardware):
        run = _tried(network, machine, result.batch, mapping)
        changes.append(_change(resource, action, result, run, _cost(hardware, machine)))
        progress(action)
    changes.sort(key=lambda change: -change.saved)
    return Why(
        network=result.network,
        hardware=result.hardware,
        dataflow=result.dataflow,
        cycles=result.cycles,
        shares=_bound_shares(result),
        changes=tuple(changes),
    )


def relaxed(hardware: Hardware) -> Iterator[tuple[Resource, str, Hardware]]:
    """(resource, action, hardware with it) of every relaxation that applies to `hardware`."""
    for relaxation in RELAXATIONS:
        if hardware.array.dataflow not in relaxation.dataflows:
            continue
        for name in _buffers_meant(relaxation, hardware):
            keys = [name if key == EACH else key for key in relaxation.key.split(".")]
            machine = _with(hardware, keys, relaxation.relax)
            if isinstance(machine, Hardware) and _can_be(machine):
                yield relaxation.resource, relaxation.action.format(name), machine


def _can_be(hardware: Hardware) -> bool:
    """Whether a hardware file may say this: twice the most rows is more than it may."""
    try:
        Hardware.model_validate(nested(settings(hardware)))
    except ValidationError:
        return False
    return True


def _buffers_meant(relaxation: Relaxation, hardware: Hardware) -> list[str]:
    """The buffers whose names take the place of `*`, one after another; "" where none does."""
    keys = relaxation.key.split(".")
    if EACH in keys:
        return list(hardware.buffers)
    return [] if ALL in keys and len(hardware.buffers) < 2 else [""]


def _with(value: object, keys: list[str], relax: Relax) -> object | None:
    """`value` with what stands under `keys` relaxed; None where that is nothing to relax."""
    if not keys:
        return relax(value)
    name, rest = keys[0], keys[1:]
    if isinstance(value, dict):
        names = list(value) if name == ALL else [name]
        inner = {each: _with(value.get(each), rest, relax) for each in names}
        return None if None in inner.values() else {**value, **inner}
    changed = {each: _with(getattr(value, each, None), rest, relax) for each in name.split("+")}
    if None in changed.values() or not isinstance(value, BaseModel):
        return None
    return value.model_copy(update=changed)


def _tried(
    network: Network, hardware: Hardware, batch: int, mapping: MappingLike | None
) -> RunResult | None:
    """A run, None where a layer does not fit."""
    try:
        return simulate(network, hardware, batch=batch, mapping=mapping)
    except DoesNotFitError:
        return None


def _change(
    resource: Resource, action: str, before: RunResult, after: RunResult | None, cost: Cost
) -> Change:
    """What a change does to a run."""
    spent = before.energy.total if before.energy else 0.0
    energy = 1 - after.energy.total / spent if spent and after and after.energy else None
    return Change(
        resource=resource,
        action=action,
        cycles=after.cycles if after else None,
        saved=1 - after.cycles / before.cycles if after and before.cycles else 0.0,
        saved_energy=energy,
        cost=cost,
    )


def _cost(before: Hardware, after: Hardware) -> Cost:
    """What `after` has on its chip that `before` has not."""
    return Cost(
        pes=after.pes - before.pes,
        sram_bytes=_sram_bytes(after) - _sram_bytes(before),
        register_bytes=_shadow_bytes(after) if _pipelines(before, after) else 0,
    )


def _sram_bytes(hardware: Hardware) -> int:
    """Of the buffers of all arrays."""
    return hardware.array.count * sum(buffer.size for buffer in hardware.buffers.values())


def _pipelines(before: Hardware, after: Hardware) -> bool:
    return before.array.fold_overlap != after.array.fold_overlap


def _shadow_bytes(hardware: Hardware) -> int:
    """A register for the next fold's stationary operand in each PE: of `best` for the widest."""
    flows = [DATAFLOW_OF[each.array.dataflow] for each in hardware.choices]
    widths = [hardware.precision.bytes_of(flow.operand("rows", "cols")) for flow in flows]
    return hardware.pes * max(widths)


def _bound_shares(result: RunResult) -> dict[Bound, float]:
    """Of the layers' own cycles the share of those layers that each thing bounds."""
    own = dict.fromkeys(_BOUNDS, 0)
    for layer in result.layers:
        if not layer.is_free:
            own[layer.bound] += layer.cycles - layer.buckets.other_layer
    total = sum(own.values()) or 1
    return {name: cycles / total for name, cycles in own.items()}
