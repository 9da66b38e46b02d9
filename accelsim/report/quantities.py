"""Numbers as text: rounded for tables, exact as a hardware file writes them."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from accelsim.network.ops import Shape
from accelsim.units import Duration, Rate

NONE = "-"
"""Stands where there is nothing to count."""

_SI = (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3))
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


def si(number: float) -> str:
    """Two decimals and a decimal prefix: `15.47 G`; below 1,000 a whole number."""
    for prefix, scale in _SI:
        if number >= scale:
            return f"{number / scale:.2f} {prefix}"
    return f"{number:.0f}"


def percent(fraction: float) -> str:
    """A share without its sign: `44.8`."""
    return f"{100 * fraction:.1f}"


def percentages(counts: Sequence[int]) -> list[str]:
    """Shares of the sum that add up to exactly 100.0 (largest remainder); zeros for no sum."""
    total = sum(counts)
    if not total:
        return [percent(0)] * len(counts)
    tenths = [1000 * count // total for count in counts]
    by_remainder = sorted(range(len(counts)), key=lambda i: -(1000 * counts[i] % total))
    for index in by_remainder[: 1000 - sum(tenths)]:
        tenths[index] += 1
    return [f"{tenth / 10:.1f}" for tenth in tenths]


def seconds(time: float) -> str:
    """A time with three decimals: `33.706 ms`."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if time >= scale:
            return f"{time / scale:,.3f} {unit}"
    return f"{time / 1e-9:,.3f} ns"


def joules(picojoules: float) -> str:
    """An energy with two decimals: `90.79 mJ`."""
    for unit, scale in (("J", 1e12), ("mJ", 1e9), ("uJ", 1e6), ("nJ", 1e3)):
        if picojoules >= scale:
            return f"{picojoules / scale:,.2f} {unit}"
    return f"{picojoules:,.2f} pJ"


def gigabytes_per_second(rate: float) -> str:
    """A bandwidth in bytes per second: `16.00 GB/s`."""
    return f"{rate / 1e9:,.2f} GB/s"


def shape(dimensions: Shape) -> str:
    """A shape: `64x224x224`."""
    return "x".join(map(str, dimensions))


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
