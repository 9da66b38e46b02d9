"""A hardware as its file would say it, with nothing left out: for people and for results."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from pydantic import BaseModel

from accelsim.technology import Parts, SramAccess
from accelsim.units import Duration, Rate

_SIZES = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "B": 1}
_BYTES = {"TB": 10**12, "GB": 10**9, "MB": 10**6, "kB": 10**3, "B": 1}
_HERTZ = {"GHz": 10**9, "MHz": 10**6, "kHz": 10**3, "Hz": 1}
_SECONDS = {
    "s": Fraction(1),
    "ms": Fraction(1, 10**3),
    "us": Fraction(1, 10**6),
    "ns": Fraction(1, 10**9),
    "ps": Fraction(1, 10**12),
}


def clock(hertz: int) -> str:
    """As in a hardware file: `700 MHz`."""
    return _exact(Fraction(hertz), _HERTZ)


def size(count: int) -> str:
    """As in a hardware file: `64 KiB`."""
    return _exact(Fraction(count), _SIZES)


def rate(bandwidth: Rate) -> str:
    """As in a hardware file: `16 GB/s`, `32 B/cycle`."""
    units = {"B": 1} if bandwidth.per_cycle else _BYTES
    return f"{_exact(bandwidth.amount, units)}/{'cycle' if bandwidth.per_cycle else 's'}"


def duration(time: Duration) -> str:
    """As in a hardware file: `100 ns`, `20 cycles`."""
    return _exact(time.amount, {"cycles": 1} if time.in_cycles else _SECONDS)


def _exact(amount: Fraction, units: Mapping[str, int | Fraction]) -> str:
    """In the largest unit that makes it whole, else with decimals in the smallest."""
    for unit, scale in units.items():
        scaled = amount / scale
        if scaled.denominator == 1 and (scaled or scale == 1):
            return f"{scaled} {unit}"
    return f"{float(scaled)!r} {unit}"


_SIZED = {
    "clock": clock,
    "size": size,
    "bank": size,
    "burst": size,
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A key of a hardware file with its value as a file would write it, and its meaning."""

    path: tuple[str, ...]
    value: str | float | list[Any] | None
    meaning: str

    @property
    def text(self) -> str:
        """The value for people."""
        if isinstance(self.value, list):
            return ", ".join(map(_told, self.value))
        missing = "unlimited" if self.path[-1] == "bandwidth" else "not given"
        return missing if self.value is None else str(self.value)


def _told(item: object) -> str:
    """One of several, for people: a name, or a part with its keys."""
    if isinstance(item, dict):
        return " ".join(f"{key}={value}" for key, value in item.items())
    return str(item)


def settings(model: BaseModel, path: tuple[str, ...] = ()) -> Iterator[Setting]:
    """Every setting of a hardware, defaults included, in the order of the schema."""
    for name, described in type(model).model_fields.items():
        value = getattr(model, name)
        parts = value if isinstance(value, dict) else {None: value}
        for key, part in parts.items():
            here = (*path, name) if key is None else (*path, name, _key(model, name, key))
            if part is None and path[:1] == ("dram",):
                continue  # the other form of saying it, or as another timing
            if isinstance(part, BaseModel):
                yield from settings(part, here)
            else:
                yield Setting(here, _written(name, part), described.description or "")


def _key(model: BaseModel, name: str, key: str | int) -> str:
    """A key as a hardware file writes it: a name, a width in bits, the size of an SRAM."""
    sized = isinstance(model, SramAccess) or (isinstance(model, Parts) and name == "sram")
    return size(int(key)) if sized else str(key)


def _written(key: str, value: object) -> str | float | list[Any] | None:
    """A value as a hardware file writes it."""
    match value:
        case Rate():
            return rate(value)
        case Duration():
            return duration(value)
        case int() if key in _SIZED:
            return _SIZED[key](value)
        case tuple():
            return [
                nested(settings(item)) if isinstance(item, BaseModel) else str(item)
                for item in value
            ]
        case None | int() | float():
            return value
    return str(value)


def nested(flat: Iterable[Setting]) -> dict[str, Any]:
    """Settings as a file nests them."""
    whole: dict[str, Any] = {}
    for setting in flat:
        place = whole
        for part in setting.path[:-1]:
            place = place.setdefault(part, {})
        place[setting.path[-1]] = setting.value
    return whole
