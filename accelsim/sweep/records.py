"""A point of a sweep, and what became of it. Both travel between processes and machines."""

from dataclasses import dataclass
from typing import Any, Literal

from accelsim.hardware import Hardware

Status = Literal["done", "failed"]
Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Point:
    """One simulation: a network (name or path) on a hardware, for `batch` images.

    `key` is a hash of the resolved content: of the network's layers, the hardware, the batch.
    `parameters` are what the sweep file varies, by its keys, as text or numbers for people.
    """

    key: str
    network: str
    hardware: Hardware
    batch: int
    parameters: dict[str, Value]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a point: the JSON totals and layers of its run, or why there are none.

    `totals` and `layers` are those of `RunResult.as_dict` (schema 1), empty if it failed; `error`
    is empty if it did not. `attempts` counts the workers that tried.
    """

    key: str
    status: Status
    totals: dict[str, Any]
    layers: list[dict[str, Any]]
    wall_seconds: float
    error: str = ""
    attempts: int = 1
