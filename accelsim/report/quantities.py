"""Numbers as text, rounded for tables; `accelsim.written` has them exact."""

from collections.abc import Sequence

from accelsim.network.ops import Shape

NONE = "-"
"""Stands where there is nothing to count."""

_SI = (("T", 10**12), ("G", 10**9), ("M", 10**6), ("k", 10**3))


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


def watts(power: float) -> str:
    """A power with three digits: `1.21 W`, `345 mW`."""
    for unit, scale in (("W", 1.0), ("mW", 1e-3), ("uW", 1e-6)):
        if power >= scale:
            return f"{number(power / scale)} {unit}"
    return f"{number(power / 1e-9)} nW"


def number(value: float) -> str:
    """Three digits, more where it is large: `0.0123`, `1.23`, `44.6`, `1,235`."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:#.3g}".rstrip(".")


def gigabytes_per_second(rate: float) -> str:
    """A bandwidth in bytes per second: `16.00 GB/s`."""
    return f"{rate / 1e9:,.2f} GB/s"


def shape(dimensions: Shape) -> str:
    """A shape: `64x224x224`."""
    return "x".join(map(str, dimensions))
