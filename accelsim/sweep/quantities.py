"""What a sweep can optimise and bound: quantities of a point's hardware and of its result."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from accelsim.frontend.sweep_file import Direction
from accelsim.hardware import Hardware
from accelsim.results.rates import Rates
from accelsim.sweep.records import Value

Totals = Mapping[str, Any]
Record = dict[str, Value]

HARDWARE_QUANTITIES: Mapping[str, Callable[[Hardware], int]] = {
    "pes": lambda hardware: hardware.pes,
    "buffer_bytes": lambda hardware: (
        hardware.array.count * sum(buffer.size for buffer in hardware.buffers.values())
    ),
    "peak_macs_per_second": lambda hardware: hardware.pes * hardware.clock,
    "dram_bytes_per_second": lambda hardware: round(hardware.dram_bytes_per_cycle * hardware.clock),
}
"""Known before a point runs: PEs and buffers of all arrays, peak rates."""
QUANTITY_PARTS: Mapping[str, tuple[str, ...]] = {
    "pes": ("array",),
    "buffer_bytes": ("array", "buffers"),
    "peak_macs_per_second": ("array", "clock"),
    "dram_bytes_per_second": ("dram", "clock"),
}
"""The parts of a hardware that each of them is of."""

RESULT_QUANTITIES = (
    *("cycles", "seconds", "cycles_per_image", "seconds_per_image", "images_per_second"),
    *("macs", "utilization", "array_cycles", "vector_cycles", "dram_cycles"),
    *("dram_bytes", "dram_read_bytes", "dram_write_bytes"),
)
RATE_QUANTITIES = ("macs_per_second", "macs_per_dram_byte")
ENERGY_QUANTITIES = (
    *("energy_pj", "energy_pj_per_mac", "energy_pj_per_image", "energy_delay_pj_s"),
    *("joules_per_image", "watts", "chip_watts", "dram_watts", "tops_per_watt"),
)
"""Known where the hardware names an energy table."""


UNLIKE_BATCHES = (
    "the batch varies, and objectives that count a whole batch call more images worse; name one "
    "that counts by image, such as cycles_per_image"
)
UNLIKE_CLOCKS = (
    "the clock varies, and cycles of different clocks do not compare: the slowest takes the "
    "fewest; name an objective that counts time, such as seconds"
)
_OF_ANY_BATCH = (
    *("utilization", "energy_pj_per_mac", *RATE_QUANTITIES),
    *("watts", "chip_watts", "dram_watts", "tops_per_watt"),
)


def compare_batches(objectives: Iterable[str]) -> bool:
    """Whether an objective is fair to runs of different batches."""
    return any("image" in name or name in _OF_ANY_BATCH for name in objectives)


def compare_clocks(objectives: Iterable[str]) -> bool:
    """Whether the objectives are fair to runs of different clocks: none in cycles, or one in time.

    Energy times delay and everything per second count time.
    """
    names = [*objectives]
    timed = any(word in name for name in names for word in ("second", "delay", "watts"))
    return timed or not any("cycles" in name for name in names)


def impossible(name: str, least: float | None, most: float | None) -> str:
    """Why no point can have a quantity within these ends; empty if some might."""
    if name == "utilization" and least is not None and least > 1:
        return f"utilization is a share of 1, so no point has {least:g}; write 30 % as 0.3"
    if most is not None and most < 0:
        return f"{name} is never below 0"
    return ""


def quantity_names() -> tuple[str, ...]:
    """Every quantity that objectives and constraints may name."""
    return (*HARDWARE_QUANTITIES, *RESULT_QUANTITIES, *RATE_QUANTITIES, *ENERGY_QUANTITIES)


def hardware_quantities(hardware: Hardware) -> dict[str, int]:
    """What is known of a point before it runs."""
    return {name: of(hardware) for name, of in HARDWARE_QUANTITIES.items()}


def result_quantities(totals: Totals, batch: int) -> Record:
    """A run's totals, flat: `dram_ifmap_read_bytes`, `bucket_useful_cycles`, and per image.

    Empty for no totals, those of a point that failed.
    """
    if not totals:
        return {}
    flat = dict(_flat(totals))
    dram_bytes = totals["dram_read_bytes"] + totals["dram_write_bytes"]
    flat["dram_bytes"] = dram_bytes
    flat["cycles_per_image"] = totals["cycles"] / batch
    flat["seconds_per_image"] = totals["seconds"] / batch
    flat |= _rates(totals, dram_bytes, batch).as_dict()
    if "energy_pj" in totals:
        flat["energy_pj_per_image"] = totals["energy_pj"] / batch
        flat["energy_delay_pj_s"] = totals["energy_pj"] * totals["seconds"]
    return flat


def _rates(totals: Totals, dram_bytes: int, batch: int) -> Rates:
    """Those of totals that may be of an earlier accelsim, which did not say them."""
    energy = totals.get("energy")
    dram_pj = energy.get("dram") if isinstance(energy, Mapping) else None
    return Rates(
        images=batch,
        seconds=totals["seconds"],
        macs=_counted(totals.get("macs")) or 0,
        dram_bytes=dram_bytes,
        energy_pj=_counted(totals.get("energy_pj")),
        dram_pj=_counted(dram_pj) or 0,
    )


def _counted(value: object) -> Any:
    """A number; None for what anybody may have written in its place."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _flat(totals: Totals, prefix: str = "") -> Iterator[tuple[str, Value]]:
    for name, value in totals.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}_")
        else:
            yield f"{prefix}{name}", value


@dataclass(frozen=True, slots=True)
class Constraint:
    """What a quantity may be, both ends included; None is no end."""

    quantity: str
    least: float | None = None
    most: float | None = None

    def __str__(self) -> str:
        ends = ((">=", self.least), ("<=", self.most))
        return f"{self.quantity} " + " and ".join(
            f"{sign} {end:,.10g}" for sign, end in ends if end is not None
        )

    def holds(self, record: Mapping[str, object]) -> bool:
        """Whether a record's quantity is within; not if the record has none."""
        value = record.get(self.quantity)
        if not isinstance(value, (int, float)):
            return False
        above = self.least is None or value >= self.least
        return above and (self.most is None or value <= self.most)


def feasible(record: Mapping[str, object], constraints: Iterable[Constraint]) -> bool:
    """Whether a record meets every constraint."""
    return all(constraint.holds(record) for constraint in constraints)


Objectives = Mapping[str, Direction]
