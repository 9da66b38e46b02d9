"""YAML text as plain data that remembers where every key and value stands in the file."""

import re
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias, TypeVar

import yaml
from yaml.constructor import SafeConstructor

from accelsim.errors import InputError, Problem, reason
from accelsim.text import shown

Data: TypeAlias = "str | int | float | bool | list[Data] | dict[str, Data] | None"
KeyPath: TypeAlias = tuple[str | int, ...]
Mark: TypeAlias = tuple[int, int]  # line and column, from 1

Content = TypeVar("Content", bound=bytes | mmap)

LARGEST_FILE = 4 * 2**20
"""Bytes of a file of text that is read: networks of 20,000 layers are smaller."""
MOST_VALUES = 250_000
"""Values that a YAML file may hold once its aliases are replaced by what they stand for."""
DEEPEST = 50
"""Levels of nesting in a YAML file."""
_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_TEXT = frozenset(_TAG + kind for kind in ("str", "timestamp", "value", "merge"))
_PLAIN_NUMBER = re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)")
_OTHER_BASE = re.compile(r"[-+]?0[bx]", re.IGNORECASE)
_CONSTRUCTED = frozenset(_TAG + kind for kind in ("null", "bool", "int", "float"))


def dotted(path: KeyPath) -> str:
    """A path as people write it: `array.rows`, `layers.conv1.kernel[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A value of the file: its plain data, where it starts, and its parts.

    `parts` holds a mapping's values by key or a list's by index; `keys` where a mapping's
    keys stand. `size` counts it and all values in it.
    """

    data: Data
    mark: Mark
    parts: "Mapping[str | int, Node]" = field(default_factory=dict)
    keys: Mapping[str, Mark] = field(default_factory=dict)
    size: int = 1


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file whose top is a mapping, and what is already known to be wrong with it."""

    source: str
    root: Node
    problems: tuple[Problem, ...] = ()

    @property
    def data(self) -> dict[str, Data]:
        """The file's content; keys are text as written, also `1`, `3.5` and `yes`."""
        assert isinstance(self.root.data, dict)
        return self.root.data

    def position(self, path: KeyPath) -> Mark:
        """Where the value at `path` starts, or the innermost existing value around it."""
        node = self.root
        for part in path:
            if part not in node.parts:
                break
            node = node.parts[part]
        return node.mark

    def key_position(self, path: KeyPath) -> Mark:
        """Where the key that ends `path` stands; as `position` where there is none."""
        node = self.root
        for part in path[:-1]:
            if part not in node.parts:
                return node.mark
            node = node.parts[part]
        last = path[-1] if path else ""
        return node.keys[last] if isinstance(last, str) and last in node.keys else node.mark

    def problem(self, path: KeyPath, message: str, at_key: bool = False) -> Problem:
        """A problem with the value (or the key) at `path`."""
        line, column = self.key_position(path) if at_key else self.position(path)
        return Problem(
            message=message, source=self.source, line=line, column=column, key=dotted(path)
        )


SQLITE = b"SQLite format 3\0"
"""How every file of SQLite begins."""


def read_text(path: Path, largest: int = LARGEST_FILE) -> str:
    """The text of a UTF-8 file of at most `largest` bytes, without a byte-order mark.

    Raises InputError, also for what is no file, such as a pipe, which may never end.
    """
    content = read_bytes(path, largest)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if content.startswith(SQLITE):
            message = "is an SQLite file, such as a sweep's results; expected text"
            raise InputError(Problem(message=message, source=str(path))) from None
        line = content.count(b"\n", 0, error.start) + 1
        message = f"not UTF-8 text: byte 0x{content[error.start]:02x}; save the file as UTF-8"
        raise InputError(Problem(message=message, source=str(path), line=line)) from None


def read_bytes(path: Path, largest: int) -> bytes:
    """The content of a file of at most `largest` bytes; raises InputError, as `read_text` does."""
    return _content(path, largest, lambda file, size: file.read(size + 1))


def mapped(path: Path, largest: int) -> memoryview:
    """As `read_bytes`, but only what is looked at is read."""
    return memoryview(_content(path, largest, _map))


def _map(file: BinaryIO, size: int) -> "bytes | mmap":
    return mmap(file.fileno(), size, access=ACCESS_READ) if size else b""


def _content(path: Path, largest: int, read: Callable[[BinaryIO, int], Content]) -> Content | bytes:
    try:
        status = path.stat()
        kind = status.st_mode
        if stat.S_ISDIR(kind):
            raise InputError(Problem(message="is a directory, expected a file", source=str(path)))
        if not stat.S_ISREG(kind):
            message = "is a device or a pipe, expected a file; save it as one first"
            raise InputError(Problem(message=message, source=str(path)))
        with path.open("rb") as file:
            content = b"" if status.st_size > largest else read(file, status.st_size)
    except FileNotFoundError:
        raise InputError(
            Problem(
                message="no such file; check the path, or see `accelsim list`", source=str(path)
            )
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        raise InputError(
            Problem(message=f"cannot be read: {reason(error)}", source=str(path))
        ) from None
    if max(status.st_size, len(content)) > largest:
        message = f"is larger than {largest:,} bytes, the most that is read"
        raise InputError(Problem(message=message, source=str(path)))
    return content


def read_yaml(path: Path, may_list: bool = False) -> Document:
    """Read a YAML file whose top is a mapping, or may be a list where that `may_list`.

    Raises InputError where nothing can be read: no file, not UTF-8, not YAML, empty, or no
    mapping. What leaves the rest readable (duplicate keys, ...) is in `Document.problems`.
    """
    source = str(path)
    raw = _compose(read_text(path), source)
    if raw is None:
        raise InputError(
            Problem(
                message="the file is empty; see the README for what it should hold",
                source=source,
                line=1,
            )
        )
    composer = _Composer(source)
    root = composer.node(raw, ())
    if not isinstance(root.data, (dict, list) if may_list else dict):
        message = "expected a mapping of keys to values at the top"
        raise InputError(_problem_at(message, source, root.mark))
    return Document(source, root, tuple(in_file_order(composer.problems)))


def read_value(text: str, source: str) -> Data:
    """A value as YAML writes it, such as that of `--set`; raises InputError at `source`."""
    raw = _compose(text, source)
    if raw is None:
        return None
    composer = _Composer(source)
    value = composer.node(raw, ()).data
    if composer.problems:
        raise InputError(composer.problems)
    return value


def in_file_order(problems: Iterable[Problem]) -> list[Problem]:
    """The problems sorted by line and column."""
    return sorted(problems, key=lambda problem: (problem.line, problem.column))


def _compose(text: str, source: str) -> yaml.Node | None:
    """PyYAML's node tree, None for an empty file; raises InputError for a syntax error.

    A parser looks ahead, and newer ones have a limit of nesting of their own. So where one fails,
    the depth of what stands before is told first: the same file has one message with all of them.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's where it is built in
    try:
        _limit_depth(yaml.parse(text, Loader=loader), source)
        node: yaml.Node | None = yaml.compose(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        if error.problem_mark:
            before = text[: error.problem_mark.index]
            with suppress(yaml.YAMLError):  # it may end anywhere
                _limit_depth(yaml.parse(before, Loader=loader), source)
        place = _mark(error.problem_mark)
        message = ", ".join(part for part in (error.context, error.problem) if part)
        raise InputError(_problem_at(f"not valid YAML: {message}", source, place)) from None
    except yaml.YAMLError as error:
        reason = getattr(error, "reason", error)
        raise InputError(Problem(message=f"not valid YAML: {reason}", source=source)) from None
    return node


def _limit_depth(events: Iterable[yaml.Event], source: str) -> None:
    """Raise InputError for nesting that would exhaust the stack of what reads it."""
    depth = 0
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            message = f"nested too deeply; at most {DEEPEST} levels can be read"
            raise InputError(_problem_at(message, source, _mark(event.start_mark)))


def _misleads(text: str, kind: str) -> bool:
    """Whether a number is another one than it looks: 010 (octal), 1:30 (base 60), 1__0."""
    if kind == "float":
        return ":" in text
    return not (_PLAIN_NUMBER.fullmatch(text) or _OTHER_BASE.match(text))


class _YamlMark(Protocol):
    """PyYAML's own marks and libyaml's; they count from 0."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


def _mark(mark: _YamlMark | None) -> Mark:
    return (mark.line + 1, mark.column + 1) if mark else (0, 0)


def _problem_at(message: str, source: str, mark: Mark, key: str = "") -> Problem:
    line, column = mark
    return Problem(message=message, source=source, line=line, column=column, key=key)


class _Composer:
    """Turns PyYAML's nodes into ours, each once; `problems` collects what is wrong on the way."""

    def __init__(self, source: str) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._scalars = SafeConstructor()
        self._finished: dict[yaml.Node, Node] = {}
        self._unfinished: set[yaml.Node] = set()

    def node(self, raw: yaml.Node, path: KeyPath) -> Node:
        if raw in self._unfinished:
            return self._faulty(raw, path, "the anchored value contains itself")
        if raw not in self._finished:
            self._unfinished.add(raw)
            self._finished[raw] = self._converted(raw, path)
            self._unfinished.remove(raw)
        return self._finished[raw]

    def _converted(self, raw: yaml.Node, path: KeyPath) -> Node:
        if isinstance(raw, yaml.MappingNode) and raw.tag == f"{_TAG}map":
            return self._mapping(raw, path)
        if isinstance(raw, yaml.SequenceNode) and raw.tag == f"{_TAG}seq":
            items = [self.node(item, (*path, index)) for index, item in enumerate(raw.value)]
            data = [item.data for item in items]
            return self._counted(
                Node(data=data, mark=_mark(raw.start_mark), parts=dict(enumerate(items)))
            )
        if isinstance(raw, yaml.ScalarNode) and raw.tag in _TEXT:
            return Node(data=raw.value, mark=_mark(raw.start_mark))
        if isinstance(raw, yaml.ScalarNode) and raw.tag in _CONSTRUCTED:
            return self._scalar(raw, path)
        tag = raw.tag.replace(_TAG, "!!")
        return self._faulty(raw, path, f"the tag {tag} is not supported; write a plain value")

    def _scalar(self, raw: yaml.ScalarNode, path: KeyPath) -> Node:
        kind = raw.tag.removeprefix(_TAG)
        try:
            value = self._scalars.construct_object(raw)
        except (ValueError, KeyError):  # `!!int three`, `0x_`
            return self._faulty(raw, path, f"{shown(raw.value)} is no YAML {kind}")
        if kind in ("int", "float") and _misleads(raw.value, kind):
            message = (
                f"{raw.value} is read as {value} in YAML; write {value} if you mean that, or quote "
                "it if it is text"
            )
            self._faulty(raw, path, message)
        return Node(data=value, mark=_mark(raw.start_mark))

    def _mapping(self, raw: yaml.MappingNode, path: KeyPath) -> Node:
        """Keys as written; those merged with `<<` come first and give way to the mapping's own."""
        merged: dict[str | int, Node] = {}
        merged_keys: dict[str, Mark] = {}
        parts: dict[str | int, Node] = {}
        keys: dict[str, Mark] = {}
        for key, value in raw.value:
            if key.tag == _MERGE:
                for node in self._merged(value, path):
                    merged = {**node.parts, **merged}
                    merged_keys = {**node.keys, **merged_keys}
            elif not isinstance(key, yaml.ScalarNode):
                self._faulty(key, path, "a key must be text, not a list or a mapping")
            elif key.value in keys:
                first, _ = keys[key.value]
                message = f"duplicate key {shown(key.value)}, first given in line {first}"
                self._faulty(key, (*path, key.value), message)
            else:
                keys[key.value] = _mark(key.start_mark)
                parts[key.value] = self.node(value, (*path, key.value))
        parts, keys = {**merged, **parts}, {**merged_keys, **keys}
        data = {str(name): part.data for name, part in parts.items()}
        return self._counted(Node(data=data, mark=_mark(raw.start_mark), parts=parts, keys=keys))

    def _counted(self, node: Node) -> Node:
        """The node with its size; InputError where aliases make it too large to be walked."""
        size = 1 + sum(part.size for part in node.parts.values())
        if size > MOST_VALUES:
            message = f"holds more than {MOST_VALUES:,} values, those behind aliases counted"
            raise InputError(_problem_at(message, self._source, node.mark))
        return replace(node, size=size)

    def _merged(self, raw: yaml.Node, path: KeyPath) -> list[Node]:
        """The mappings behind `<<`, one or a list of them."""
        items = raw.value if isinstance(raw, yaml.SequenceNode) else [raw]
        nodes = [self.node(item, path) for item in items]
        for item, node in zip(items, nodes, strict=True):
            if node.data is not None and not isinstance(node.data, dict):
                self._faulty(item, path, "`<<` merges mappings only")
        return [node for node in nodes if isinstance(node.data, dict)]

    def _faulty(self, raw: yaml.Node, path: KeyPath, message: str) -> Node:
        mark = _mark(raw.start_mark)
        self.problems.append(_problem_at(message, self._source, mark, dotted(path)))
        return Node(data=None, mark=mark)
