"""The right to write a results file: at most one process has it, and it ends with the process.

What counts is a lock on the file itself, which nobody can delete without deleting the results.
Beside it a file `-lock`, locked too, shows to people that the results are being written. It is
taken first: closing any descriptor of a file gives up all of the process's POSIX locks on it,
so that a second claim in the same process must fail before it opens the results.
"""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from accelsim.errors import InputError, Problem, reason

_HEADER = 100  # bytes of SQLite's own at the beginning of a file
_TRIES = 100

if sys.platform == "win32":
    import msvcrt

    def _locked(descriptor: int) -> bool:
        try:
            os.lseek(descriptor, 2**40, os.SEEK_SET)  # far from what SQLite locks
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _locked(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class Claim:
    """A results file that this process alone may write, from `take` to `release`."""

    def __init__(self, path: Path) -> None:
        """Take it, and make an empty file if there is none; raises InputError."""
        if not path.parent.is_dir():
            raise InputError(
                Problem(message=f"there is no directory {path.parent}", source=str(path))
            )
        if path.is_dir():
            raise InputError(Problem(message="is a directory, expected a file", source=str(path)))
        self.path = path
        with _in_words(path):
            self._sign = _sign(path)
            try:
                self.is_new = not os.path.exists(path)
                self._file = _own(path)
            except BaseException:
                _take_down(self._sign, path)
                raise
        self._known = self._look()

    def release(self, remove: bool = False) -> None:
        """Let go of it; with `remove` the file goes, and what SQLite keeps beside it."""
        if remove:
            for suffix in ("", "-wal", "-shm"):
                beside(self.path, suffix).unlink(missing_ok=True)
        os.close(self._file)
        _take_down(self._sign, self.path)

    def note(self) -> None:
        """Remember how the file looks after we have written."""
        self._known = self._look()

    def loss(self) -> str:
        """What others have done to the file since `note`, in words; "" if nothing."""
        try:
            at_path = os.stat(self.path)
        except OSError:
            return "was moved or deleted during the run"
        if not os.path.samestat(at_path, os.fstat(self._file)):
            return "was replaced by another file during the run"
        return "" if self._look() == self._known else "was overwritten during the run"

    def _look(self) -> tuple[object, ...]:
        """The file's size and its first bytes, in which SQLite counts changes."""
        return os.fstat(self._file).st_size, _beginning(self._file)


def beside(path: Path, suffix: str) -> Path:
    """A file that belongs to a results file."""
    return path.with_name(f"{path.name}{suffix}")


def _beginning(descriptor: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, _HEADER, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return os.read(descriptor, _HEADER)


def _is_no_file(path: Path) -> bool:
    """Whether something else is there, such as a folder; asked once, for files come and go."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False


def _own(path: Path) -> int:
    """A descriptor of the file at `path` with the lock on it."""
    if _is_no_file(path):
        raise InputError(Problem(message="cannot be opened: it is no file", source=str(path)))
    for _ in range(_TRIES):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        if not _locked(descriptor):
            os.close(descriptor)
            break
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        os.close(descriptor)  # whoever had it has removed it meanwhile
    message = "another process is writing to it; wait for it, or give another path"
    raise InputError(Problem(message=message, source=str(path)))


def _sign(path: Path) -> int | None:
    """The `-lock` file, locked; None where it cannot be made, for it only tells people."""
    sign = beside(path, "-lock")
    if _is_no_file(sign):
        return None
    try:
        return _own(sign)
    except InputError as error:
        message = error.problems[0].message
        raise InputError(Problem(message=message, source=str(path))) from None


def _take_down(sign: int | None, path: Path) -> None:
    if sign is None:
        return
    name = beside(path, "-lock")
    with suppress(OSError):
        if os.path.samestat(os.fstat(sign), os.stat(name)):
            name.unlink()
    os.close(sign)


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise InputError(
            Problem(message=f"cannot be written: {reason(error)}", source=str(path))
        ) from None
