"""Files that results are written to: whole, all of a command or none, never over what was read."""

import gzip
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from accelsim.errors import InputError, Problem, reason

_INPUTS = (".yaml", ".yml", ".npz", ".npy", ".onnx", ".sqlite", ".py")
"""Endings of what accelsim reads, or runs: a file with one is no old output, but for `MADE`."""
MADE = b"made by accelsim"
"""The comment that ends an archive of values: it may be written anew."""


def obstacles(path: str, inputs: Iterable[str] = ()) -> Iterator[str]:
    """What stands in the way of writing to `path`, which is none of the `inputs`, in words."""
    folder = os.path.dirname(path) or "."
    if not path:
        yield "expected the path of a file, found nothing"
    elif os.path.isdir(path):
        yield "is a directory, expected a file"
    elif not os.path.isdir(folder):
        yield f"there is no directory {folder}"
    elif not os.access(path if os.path.exists(path) else folder, os.W_OK):
        yield "not writable: permission denied"
    elif any(_same(path, each) for each in inputs):
        yield "is what this command reads; give another path"
    elif os.path.exists(path) and path.lower().endswith(_INPUTS) and not _is_made(path):
        yield "is there already, and looks like an input by its name; give another path"
    else:
        yield from _unusable(path)


def copy_obstacles(path: str | None) -> Iterator[str]:
    """What stands in the way of a copy, which takes the place of nothing."""
    if path is not None and os.path.exists(path):
        yield "is there already; give another path"
    elif path is not None:
        yield from obstacles(path)


def _is_made(path: str) -> bool:
    """Whether a file is an earlier output, as it says itself; a pipe would never say it."""
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            file.seek(-len(MADE), os.SEEK_END)
            return file.read() == MADE
    except (OSError, ValueError):
        return False


def _same(path: str, other: str) -> bool:
    try:
        return os.path.samefile(path, other)
    except (OSError, ValueError):
        return False


def _unusable(path: str) -> Iterator[str]:
    """A path that no file can have: too long, or with a NUL in it."""
    try:
        os.stat(path)
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        yield f"cannot be written: {reason(error)}"


def write_file(path: str, content: str | bytes) -> None:
    """Write a file; raises InputError where the system does not let it, and the old one stays.

    It is written beside and renamed, but for devices, pipes, and files in folders that are not
    ours to write.
    """
    try:
        with written(path) as beside:
            if isinstance(content, str):
                beside.write_text(content, encoding="utf-8")
            else:
                beside.write_bytes(content)
    except (OSError, ValueError) as error:
        raise InputError(
            Problem(message=f"cannot be written: {reason(error)}", source=path)
        ) from None


@contextmanager
def streamed(path: str) -> Iterator[TextIO]:
    """Text to write piece by piece, compressed where `path` ends in .gz; otherwise as above."""
    try:
        with written(path) as beside, beside.open("wb") as raw:
            is_packed = path.lower().endswith(".gz")
            packed = gzip.GzipFile("", "wb", 6, raw, mtime=0) if is_packed else raw
            with packed, TextIOWrapper(packed, encoding="utf-8") as file:
                yield file
    except (OSError, ValueError) as error:
        raise InputError(
            Problem(message=f"cannot be written: {reason(error)}", source=path)
        ) from None


@contextmanager
def written(path: str) -> Iterator[Path]:
    """Where to write what is to be at `path`: beside it, or there where that cannot be."""
    if os.path.exists(path) and not _replaceable(path):
        yield Path(path)
    else:
        with replacing(Path(path).resolve()) as beside:
            yield beside


def _replaceable(path: str) -> bool:
    return os.path.isfile(path) and os.access(os.path.dirname(path) or ".", os.W_OK)


_Held = list[tuple[Path, Path]]
_HELD: ContextVar[_Held | None] = ContextVar("held", default=None)
"""Files that are whole, and the places that they take when all others are."""


@contextmanager
def together(*ends: type[BaseException]) -> Iterator[None]:
    """Within it files are written beside; they take their places when it ends well, or none does.

    It ends well with the exceptions `ends`, too. What cannot be written beside is written at once.
    """
    held: _Held = []
    token = _HELD.set(held)
    try:
        yield
        _place(held)
    except ends:
        _place(held)
        raise
    finally:
        _HELD.reset(token)
        for beside, _ in held:
            beside.unlink(missing_ok=True)


def _place(held: _Held) -> None:
    for beside, path in held:
        try:
            beside.replace(path)
        except OSError as error:
            message = f"cannot be written: {reason(error)}"
            raise InputError(Problem(message=message, source=str(path))) from None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write, which takes the place of `path` when this and `together` end well."""
    number, name = tempfile.mkstemp(prefix=".accelsim-", dir=path.parent)
    os.close(number)
    beside = Path(name)
    try:
        beside.chmod(_mode(path))
        yield beside
        _on_disk(beside)
        held = _HELD.get()
        if held is None:
            beside.replace(path)
        else:
            held.append((beside, path))
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _mode(path: Path) -> int:
    """The permissions of the file that is there, or of a new one."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _on_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
