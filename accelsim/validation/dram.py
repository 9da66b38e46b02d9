"""DRAM: the share of peak bandwidth that access patterns reach, against Ramulator 2.1."""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import islice
from statistics import mean

import numpy as np

from accelsim.dram.pattern import Access, Stream, interleaved, sequential, strided
from accelsim.dram.replay import achieved_fraction
from accelsim.dram.sheet import DramTiming
from accelsim.frontend.dram_sheet import dram_sheet
from accelsim.validation.reference import Comparison, Reference

BURSTS = 2_500
"""Replayed of each row, where the table has 24,000; most meet a refresh."""

BAND = 0.05
STARTS = 2

_SHEETS = {"DDR3-2133L": "DDR3-2133", "DDR4-2400R": "DDR4-2400", "HBM2-2000": "HBM2"}
_START_UNKNOWN = "where the streams start, which sets their conflicts, is not published"
_FAR = 2**26  # between the starts of streams: the same bank, other rows


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table; `repeat` counts earlier rows of the same pattern."""

    sheet: DramTiming
    pattern: str
    chunk: int
    pitch: int
    refresh: bool
    fraction: float
    repeat: int


def table() -> Iterator[Row]:
    """The rows of data/dram_ramulator.csv."""
    path = files("accelsim.validation").joinpath("data", "dram_ramulator.csv")
    lines = path.read_text(encoding="utf-8").splitlines()
    seen: Counter[tuple[str, ...]] = Counter()
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        sizes = row["granularity_B"], row["pitch_B"]
        key = (row["std"], row["pattern"], *sizes, row["refresh"])
        chunk, pitch = (int(size or 0) for size in sizes)
        yield Row(
            sheet=dram_sheet(_SHEETS[row["std"]]),
            pattern=row["pattern"],
            chunk=chunk,
            pitch=pitch,
            refresh=row["refresh"] != "NoRefresh",
            fraction=float(row["frac_peak"]),
            repeat=seen[key],
        )
        seen[key] += 1


def replayed(row: Row) -> tuple[float, str]:
    """Share of peak bandwidth that accelsim replays for a row, and what it had to assume."""
    match row.pattern.split("_"):
        case ["random", *_]:
            rng = np.random.default_rng(0)
            places = rng.integers(0, 2**32 // row.sheet.burst_bytes, BURSTS)
            reads = [(int(place) * row.sheet.burst_bytes, False) for place in places]
            return _fraction(row, reads), "addresses drawn anew"
        case ["seq", direction]:
            queue = 8 if row.repeat == 2 else None
            note = ("", "another scheduler in the reference", "a queue of 8")[row.repeat]
            accesses = sequential(row.sheet, direction == "write")
            return _fraction(row, accesses, queue), note
        case ["strided" | "tile", *_]:
            return _fraction(row, strided(row.sheet, row.chunk, row.pitch)), ""
    aligned = row.repeat == 0 and "rd_rd" in row.pattern
    if aligned:
        return _fraction(row, _streams(row, [0, 0, 0])), "all streams start in the same bank"
    rng = np.random.default_rng(0)
    starts = rng.integers(0, _FAR // row.sheet.burst_bytes, (STARTS, 3)) * row.sheet.burst_bytes
    fractions = (_fraction(row, _streams(row, [int(s) for s in each])) for each in starts)
    return mean(fractions), f"{_START_UNKNOWN}; mean of {STARTS} at random"


def _streams(row: Row, starts: Sequence[int]) -> Iterator[Access]:
    """`3stream_rd_rd_wr_4:4:1` at `starts` beyond multiples of 64 MiB."""
    _, *kinds = row.pattern.split("_")
    shares = [int(share) for share in kinds.pop().split(":")] if ":" in kinds[-1] else [1] * 3
    streams = [
        Stream(index * _FAR + start, row.chunk * share, kind == "wr")
        for index, (kind, share, start) in enumerate(zip(kinds, shares, starts, strict=False))
    ]
    return interleaved(row.sheet, streams)


def _fraction(row: Row, accesses: Iterable[Access], queue: int | None = None) -> float:
    return achieved_fraction(row.sheet, islice(accesses, BURSTS), row.refresh, queue)


def compare() -> Iterator[Comparison]:
    """The rows of the table, without the second set of streams, whose starts are not known."""
    for row in table():
        if row.repeat and "stream" in row.pattern:
            continue
        size = f" {row.chunk} B" if row.chunk else ""
        pitch = f" every {row.pitch} B" if row.pitch else ""
        repeat = f" #{row.repeat + 1}" if row.repeat else ""
        off = "" if row.refresh else " without refresh"
        case = f"{row.sheet.standard} {row.pattern}{size}{pitch}{off}{repeat}"
        fraction, note = replayed(row)
        measured = row.fraction
        band = None if _START_UNKNOWN in note else BAND
        yield Comparison(
            case=case,
            quantity="share of peak",
            unit="",
            measured=measured,
            modelled=round(fraction, 4),
            band=band,
            note=note,
        )


REFERENCE = Reference(
    name="dram",
    title="DRAM bandwidth by access pattern",
    source="Ramulator 2.1 (CMU-SAFARI/ramulator2), one channel, FR-FCFS, open page, MOP4CLXOR",
    assumption="Commands follow the data sheet; 2,500 of 24,000 bursts are replayed",
    compare=compare,
)
