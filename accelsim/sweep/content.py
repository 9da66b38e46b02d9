"""What identifies a point: all of its content that can change a result, and nothing else."""

import json
from functools import lru_cache
from hashlib import sha256

from pydantic import BaseModel

from accelsim.frontend.source import Data
from accelsim.hardware import Hardware
from accelsim.sweep.records import Value
from accelsim.units import parse_quantity

LABELS = ("name", "description")
"""Keys of hardware files that change no result."""


def point_key(network: str, hardware: str, batch: int) -> str:
    """The key of a point: a hash of its network's digest, its hardware's text and its batch."""
    return sha256(f"{network}\n{batch}\n{hardware}".encode()).hexdigest()[:32]


def part_text(hardware: Hardware, part: str) -> str:
    """A top-level key of a hardware file and its content as one line; "" for its default.

    Equal content gives equal text, however it is written.
    """
    if part in LABELS:
        return ""
    dumped = hardware.model_dump(
        include={part}, exclude={"energy": set(LABELS)}, exclude_defaults=True
    )
    return _line(part, dumped[part]) if part in dumped else ""


def model_text(part: str, model: BaseModel) -> str:
    """The same of a part that has no default, by itself."""
    return _line(part, model.model_dump(exclude_defaults=True))


def _line(part: str, dumped: object) -> str:
    text = json.dumps(dumped, sort_keys=True, default=str, separators=(",", ":"))
    return f"{part} {text}"


def hardware_text(hardware: Hardware) -> str:
    """The content of a hardware, a line for each top-level key that has no default."""
    lines = (part_text(hardware, part) for part in sorted(Hardware.model_fields))
    return "\n".join(line for line in lines if line)


def plain(value: Data) -> Value:
    """A value for people: text, or a number as it is; on and off as they are written."""
    if isinstance(value, bool):  # YAML 1.1 reads the bare words as booleans
        return "on" if value else "off"
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def comparable(value: Data) -> object:
    """Equal for equal values, however they are written: 64 KiB and 65536 B."""
    return _quantity(value) if isinstance(value, str) else json.dumps(value)


@lru_cache(maxsize=4096)
def _quantity(text: str) -> object:
    try:
        return parse_quantity(text)
    except ValueError:
        return json.dumps(text)
