"""A model's bytes without its large arrays, which stay in the file until they are asked for.

Protocol Buffers, encoding: a message is fields, each a key (number and wire type as a varint) and a
value; type 2 is a length and as many bytes. An initializer's values are ModelProto.graph (7),
GraphProto.initializer (5), TensorProto.raw_data (9).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

SMALLEST = 2**16
"""Bytes of an array that is left in the file."""
_PATH = (7, 5)
_NAME, _RAW = 8, 9
_FIXED = {1: 8, 5: 4}
"""Bytes of values by wire type."""
_VARINT, _BYTES = 0, 2
_LONGEST = 10


class NotAMessage(Exception):
    """Bytes that are no message; the library says better what is wrong with them."""


@dataclass(frozen=True, slots=True)
class Trimmed:
    """A model without its large arrays; `places` are where they start in it, and their bytes."""

    content: bytes
    places: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Field:
    """A field from `start` to `end`, its value from `value` on."""

    number: int
    kind: int
    start: int
    value: int
    end: int


def trimmed(content: memoryview) -> Trimmed:
    """A model's bytes without large arrays; what is no message is left as it is."""
    places: dict[str, tuple[int, int]] = {}
    try:
        return Trimmed(_message(content, 0, len(content), _PATH, places), places)
    except NotAMessage:
        return Trimmed(bytes(content), {})


def _message(
    content: memoryview,
    start: int,
    end: int,
    path: tuple[int, ...],
    places: dict[str, tuple[int, int]],
) -> bytes:
    """A message with those below `path` trimmed."""
    if not path:
        return _tensor(content, start, end, places)
    parts: list[bytes | memoryview] = []
    kept = start  # from here on nothing was changed
    for each in _fields(content, start, end):
        if each.number == path[0] and each.kind == _BYTES and each.end - each.value >= SMALLEST:
            inner = _message(content, each.value, each.end, path[1:], places)
            parts += [content[kept : each.start], _key(each), _varint(len(inner)), inner]
            kept = each.end
    return b"".join([*parts, content[kept:end]])


def _tensor(content: memoryview, start: int, end: int, places: dict[str, tuple[int, int]]) -> bytes:
    """A tensor without its values, if they are large and it has a name."""
    fields = list(_fields(content, start, end))
    names = [each for each in fields if each.number == _NAME and each.kind == _BYTES]
    raw = [each for each in fields if each.number == _RAW and each.kind == _BYTES]
    if len(names) != 1 or len(raw) != 1 or raw[0].end - raw[0].value < SMALLEST:
        return bytes(content[start:end])
    (name,), (values,) = names, raw
    try:
        text = str(content[name.value : name.end], "utf-8")
    except UnicodeDecodeError:
        raise NotAMessage from None
    if not text or text in places:
        raise NotAMessage
    places[text] = values.value, values.end - values.value
    return bytes(content[start : values.start]) + bytes(content[values.end : end])


def _fields(content: memoryview, start: int, end: int) -> Iterator[_Field]:
    at = start
    while at < end:
        begun = at
        key, at = _number(content, at, end)
        number, kind = key >> 3, key & 7
        value = at
        if kind == _VARINT:
            _, at = _number(content, at, end)
        elif kind == _BYTES:
            size, value = _number(content, at, end)
            at = value + size
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise NotAMessage
        if at > end or not number:
            raise NotAMessage
        yield _Field(number=number, kind=kind, start=begun, value=value, end=at)


def _number(content: memoryview, at: int, end: int) -> tuple[int, int]:
    """A varint, and where it ends."""
    number = 0
    for place in range(_LONGEST):
        if at + place >= end:
            break
        byte = content[at + place]
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return number, at + place + 1
    raise NotAMessage


def _key(field: _Field) -> bytes:
    return _varint(field.number << 3 | field.kind)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
