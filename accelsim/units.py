"""Sizes, rates, clocks and times with units, and their text forms.

A unit is part of every number a user writes: `64 KiB`, `16 GB/s`, `32 B/cycle`, `1 GHz`,
`100 ns`, `20 cycles`. Decimal prefixes are powers of 1000, binary ones powers of 1024.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from accelsim.text import shown

_DECIMAL = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_BYTES = {prefix + "B": scale for prefix, scale in (_DECIMAL | _BINARY).items()}
_HERTZ = {prefix + "Hz": scale for prefix, scale in _DECIMAL.items()}
_SECONDS = {
    "s": Fraction(1),
    "ms": Fraction(1, 10**3),
    "us": Fraction(1, 10**6),
    "ns": Fraction(1, 10**9),
    "ps": Fraction(1, 10**12),
}
_LARGEST = Fraction(10**15)
_NUMBER = re.compile(
    r"\s*([0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,3})?)\s*([A-Za-z/]*)\s*"
)
"""Without an end, `1e99999999` would be computed in full before it is found too large."""


def ceil_div(dividend: int, divisor: int) -> int:
    """The quotient rounded up."""
    return -(-dividend // divisor)


def _quantity(text: object, example: str) -> tuple[Fraction, str]:
    """Split `64 KiB` into (64, "KiB"); ValueError names the expected form."""
    match = _NUMBER.fullmatch(text) if isinstance(text, str) else None
    if match is None or not match[2]:
        raise ValueError(f"expected a number with a unit such as {example!r}, found {shown(text)}")
    return Fraction(match[1]), match[2]


def _scaled(text: object, units: dict[str, int], example: str) -> Fraction:
    number, unit = _quantity(text, example)
    if unit not in units:
        raise ValueError(
            f"unknown unit {shown(unit)} in {shown(text)}; use one of {', '.join(units)} "
            f"as in {example!r}"
        )
    return number * units[unit]


def _whole(value: Fraction, text: object, what: str) -> int:
    if value.denominator != 1 or value <= 0:
        raise ValueError(f"expected a whole, positive number of {what}, found {shown(text)}")
    return int(_bounded(value, text))


def _bounded(value: Fraction, text: object) -> Fraction:
    """`value`, unless it is beyond any machine: then a ValueError."""
    if value > _LARGEST or 0 < value < 1 / _LARGEST:
        raise ValueError(f"{shown(text)} is beyond what can be simulated; is the unit right?")
    return value


def parse_size(text: object) -> int:
    """Bytes of a size such as `64 KiB`."""
    return _whole(_scaled(text, _BYTES, "64 KiB"), text, "bytes")


def parse_clock(text: object) -> int:
    """Hertz of a clock such as `700 MHz`."""
    return _whole(_scaled(text, _HERTZ, "1 GHz"), text, "hertz")


@dataclass(frozen=True, slots=True)
class Rate:
    """A bandwidth as written: `amount` bytes, per second or per clock cycle."""

    amount: Fraction
    per_cycle: bool

    def bytes_per_cycle(self, clock_hz: int) -> Fraction:
        """Bytes that move in one cycle of a `clock_hz` clock."""
        return self.amount if self.per_cycle else self.amount / clock_hz


def parse_rate(text: object) -> Rate:
    """A bandwidth such as `16 GB/s` or `32 B/cycle`."""
    number, unit = _quantity(text, "16 GB/s")
    size, slash, period = unit.partition("/")
    if size not in _BYTES or not slash or period not in ("s", "cycle"):
        raise ValueError(
            f"unknown unit {shown(unit)} in {shown(text)}; use bytes per second or per cycle, "
            "as in '16 GB/s' or '32 B/cycle'"
        )
    if number <= 0:
        raise ValueError(f"expected a positive bandwidth, found {shown(text)}")
    return Rate(_bounded(number * _BYTES[size], text), per_cycle=period == "cycle")


@dataclass(frozen=True, slots=True)
class Duration:
    """A time as written: `amount` seconds or clock cycles."""

    amount: Fraction
    in_cycles: bool

    def cycles(self, clock_hz: int) -> int:
        """Whole cycles of a `clock_hz` clock that cover this time."""
        exact = self.amount if self.in_cycles else self.amount * clock_hz
        return ceil_div(exact.numerator, exact.denominator)


def parse_time(text: object) -> Duration:
    """A time such as `100 ns` or `20 cycles`; zero is allowed."""
    number, unit = _quantity(text, "100 ns")
    if unit in ("cycle", "cycles"):
        return Duration(_bounded(number, text), in_cycles=True)
    if unit not in _SECONDS:
        raise ValueError(
            f"unknown unit {shown(unit)} in {shown(text)}; use one of {', '.join(_SECONDS)}, "
            "cycles, as in '100 ns'"
        )
    return Duration(_bounded(number * _SECONDS[unit], text), in_cycles=False)


def split_quantity(text: str) -> tuple[Fraction, str]:
    """`64 KiB` as its number and its unit; ValueError where it has none."""
    return _quantity(text, "64 KiB")


def parse_quantity(text: str) -> tuple[str, Fraction]:
    """What kind of quantity a text with a unit is, and how much, in base units.

    Kinds are bytes, hertz, bytes per second or cycle, seconds and cycles; ValueError for others.
    """
    _, unit = split_quantity(text)
    size, slash, _ = unit.partition("/")
    if slash:
        rate = parse_rate(text)
        return ("bytes per cycle" if rate.per_cycle else "bytes per second"), rate.amount
    if size in _BYTES:
        return "bytes", Fraction(parse_size(text))
    if size in _HERTZ:
        return "hertz", Fraction(parse_clock(text))
    time = parse_time(text)
    return ("cycles" if time.in_cycles else "seconds"), time.amount


def format_bytes(count: float) -> str:
    """`count` bytes for people: `512 B`, `64.0 KiB`, `58.1 MiB`."""
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= scale:
            return f"{count / scale:,.1f} {unit}"
    return f"{count:,.0f} B"
