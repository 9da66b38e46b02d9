"""A point of a sweep, and what became of it. Both travel between processes and machines."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from accelsim.frontend.mapping_file import Source
from accelsim.hardware import Hardware
from accelsim.network.graph import Network
from accelsim.sweep.code import CODE

Status = Literal["done", "failed"]
Value = str | int | float | bool | None
Table = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Varied:
    """A hardware by the parts that differ from a base; `content` is the same for equal ones."""

    base: Hardware
    parts: Mapping[str, Any]
    content: str

    @property
    def hardware(self) -> Hardware:
        """The hardware itself, made anew; its parts are shared."""
        return self.base.model_copy(update=self.parts)

    @property
    def clock(self) -> int:
        """Hertz."""
        clock: int = self.parts.get("clock", self.base.clock)
        return clock


@dataclass(frozen=True, slots=True)
class Point:
    """One simulation: a network (name or path) on a hardware, for `batch` images.

    `key` is a hash of the resolved content: of the network's layers and what is
    forced on them, the hardware, the batch.
    `graph` is the very network that was hashed: whoever simulates the point reads no file, which
    may be another by then, or on another machine. `code` names the sources that it belongs to.
    `parameters` are what the sweep file varies, by its keys, as text or numbers for people.
    `place` is where it stands among the sweep's points, from 1 on; 0 for one that was sampled.
    `mapping` is forced on it.
    """

    key: str
    network: str
    varied: Varied
    batch: int
    parameters: dict[str, Value]
    graph: Network = field(repr=False, compare=False)
    code: str = field(default=CODE, repr=False)
    place: int = field(default=0, repr=False, compare=False)
    mapping: Source | None = field(default=None, repr=False, compare=False)

    @property
    def hardware(self) -> Hardware:
        """What the network runs on."""
        return self.varied.hardware


LARGEST_RESULT = 256 * 2**20
"""Bytes of a run's totals and layers, unpacked."""


def packed(totals: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]) -> bytes:
    """A run's totals and layers, compressed; layers as columns, which takes less."""
    names = list(dict.fromkeys(name for layer in layers for name in layer))
    same = bool(names) and all(list(layer) == names for layer in layers)
    rows = [[layer[name] for layer in layers] for name in names] if same else list(layers)
    text = json.dumps([totals, names if same else None, rows], separators=(",", ":"))
    return zlib.compress(text.encode())


def unpacked(blob: bytes) -> tuple[dict[str, Any], Table]:
    """The inverse of `packed`; ValueError beyond what any run has."""
    unfolding = zlib.decompressobj()
    text = unfolding.decompress(blob, LARGEST_RESULT)
    if unfolding.unconsumed_tail:
        raise ValueError(f"more than {LARGEST_RESULT:,} bytes")
    totals, names, rows = json.loads(text)
    if names is None:
        return totals, rows
    return totals, [dict(zip(names, values, strict=True)) for values in zip(*rows, strict=True)]


NO_RESULT = packed({}, [])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a point: the JSON totals and layers of its run, or why there are none.

    `totals` and `layers` are those of `RunResult.as_dict` (schema 1), empty if it failed; `result`
    is both of them as they are stored, packed where the point ran. `error` is empty if it did not
    fail. `attempts` counts the workers that tried.
    """

    key: str
    status: Status
    totals: dict[str, Any]
    result: bytes
    wall_seconds: float
    error: str = ""
    attempts: int = 1

    @property
    def layers(self) -> Table:
        """The layers, unpacked."""
        return unpacked(self.result)[1]
