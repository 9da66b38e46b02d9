"""A results file as SQLite sees it: opened, made, read where nothing can be written, copied."""

import os
import shutil
import sqlite3
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from accelsim import __version__
from accelsim.errors import InputError, Problem, TryAgainError, reason
from accelsim.frontend.source import SQLITE
from accelsim.sweep.claim import beside
from accelsim.sweep.integrity import Checked

SCHEMA = 2
"""Of the tables here; raised when what they hold changes."""

ABOUT = Checked("about", ("key", "value"))
MEMBERS = Checked("members", ("key", "network", "batch", "parameters"))
OUTCOMES = Checked(
    "outcomes",
    (
        *("key", "status", "error", "attempts", "wall_seconds", "finished", "version", "code"),
        *("quantities", "hardware", "result", "result_checksum"),
    ),
    blob="result",
)
TABLES = (ABOUT, MEMBERS, OUTCOMES)

_APPLICATION = 0x41435357  # "ACSW", in the header of our SQLite files
_CREATED = (
    "CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum TEXT NOT NULL)",
    """CREATE TABLE members (
    position INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, network TEXT NOT NULL,
    batch INTEGER NOT NULL, parameters TEXT NOT NULL, checksum TEXT NOT NULL
)""",
    """CREATE TABLE outcomes (
    key TEXT PRIMARY KEY, status TEXT NOT NULL, error TEXT NOT NULL, attempts INTEGER NOT NULL,
    wall_seconds REAL NOT NULL, finished TEXT NOT NULL, version TEXT NOT NULL, code TEXT NOT NULL,
    quantities TEXT NOT NULL, hardware TEXT NOT NULL, result BLOB NOT NULL,
    result_checksum TEXT NOT NULL, checksum TEXT NOT NULL
)""",
)
_MAY_PASS = frozenset(
    getattr(sqlite3, f"SQLITE_{name}")
    for name in (
        *("BUSY", "LOCKED", "FULL", "IOERR", "CANTOPEN", "NOMEM", "INTERRUPT", "READONLY"),
        *("PERM", "PROTOCOL"),
    )
)
"""Failures of the machine, after which the same command can go on; others are the file's."""
_TRIES = 5
_ODD = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, zlib.error)


def is_results_file(path: Path) -> bool:
    """Whether a file is SQLite's; raises InputError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(SQLITE)) == SQLITE
    except (OSError, ValueError) as error:
        raise InputError(
            Problem(message=f"cannot be read: {reason(error)}", source=str(path))
        ) from None


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    """SQLite's errors, and those of content that is none of ours, as ours."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _MAY_PASS:
            raise TryAgainError(f"{path}: cannot be read or written: {error}") from None
        message = f"is damaged ({error}); SQLite's .recover may save some of it, or take a backup"
        raise InputError(Problem(message=message, source=str(path))) from None


@contextmanager
def decoded(path: Path) -> Iterator[None]:
    """What a results file holds, understood; InputError where it is none of ours."""
    try:
        yield
    except _ODD as error:
        message = f"is damaged: it holds what no sweep has stored ({type(error).__name__})"
        raise InputError(Problem(message=message, source=str(path))) from None


def writing(path: Path) -> sqlite3.Connection:
    """A connection that writes; raises InputError where there can be none."""
    try:
        return _connect(path, "mode=rwc")
    except sqlite3.Error as error:
        raise InputError(Problem(message=_unreadable(error), source=str(path))) from None


def reading(path: Path, stack: ExitStack) -> sqlite3.Connection:
    """A connection that never writes; what it needs is kept until `stack` ends.

    It opens the file as a writer does, so that WAL's files go when the last one closes. Where
    these cannot be made, such as in a folder that is read-only, nobody writes: then a log that a
    writer has left is read from a copy of both.
    """
    try:
        return _query_only(path, "mode=rw")
    except sqlite3.OperationalError:
        log = beside(path, "-wal")
        try:
            if not os.path.exists(log) or not log.stat().st_size:
                return _query_only(path, "immutable=1")
            return _query_only(_copied(path, stack), "mode=rw")
        except (sqlite3.Error, OSError) as error:
            why = _unreadable(error) if isinstance(error, sqlite3.Error) else reason(error)
            raise InputError(Problem(message=f"cannot be read: {why}", source=str(path))) from None
    except sqlite3.Error as error:
        raise InputError(Problem(message=_unreadable(error), source=str(path))) from None


def _query_only(path: Path, mode: str) -> sqlite3.Connection:
    connection = _connect(path, mode)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _copied(path: Path, stack: ExitStack) -> Path:
    """A copy of the file and its log, made while neither changed."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    for _ in range(_TRIES):
        before = _stamps(path)
        for suffix in ("", "-wal"):
            shutil.copyfile(beside(path, suffix), beside(folder / path.name, suffix))
        if _stamps(path) == before:
            return folder / path.name
    raise InputError(
        Problem(
            message="is being written, and its folder is read-only; try later", source=str(path)
        )
    )


def _stamps(path: Path) -> list[tuple[int, int]]:
    files = (beside(path, suffix).stat() for suffix in ("", "-wal"))
    return [(each.st_size, each.st_mtime_ns) for each in files]


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection that survives kill -9 with all that was committed; sqlite3.Error."""
    uri = f"{path.absolute().as_uri()}?{mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30)
    connection.text_factory = lambda content: content.decode("utf-8", "replace")
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.Error:
        connection.close()
        raise
    except UnicodeDecodeError:  # of what SQLite says of a name that is no text
        connection.close()
        raise sqlite3.DatabaseError("its tables have no names") from None
    return connection


def _unreadable(error: sqlite3.Error) -> str:
    if isinstance(error, sqlite3.OperationalError):
        return f"cannot be opened: {error}"
    return "is not a results file of `accelsim sweep`; give another path"


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether the file has nothing in it yet."""
    return not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def create(connection: sqlite3.Connection) -> None:
    """The tables, in the transaction that is open."""
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {SCHEMA}")
    for table in _CREATED:
        connection.execute(table)


def check_format(connection: sqlite3.Connection, path: Path) -> None:
    """Raise InputError unless the file is one of ours, of this schema, with our tables alone."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        message = "is not a results file of `accelsim sweep`; give another path"
        raise InputError(Problem(message=message, source=str(path)))
    if schema != SCHEMA:
        message = (
            f"has schema {schema}, and accelsim {__version__} reads schema {SCHEMA}; use the "
            "version of accelsim that wrote it, or give another path"
        )
        raise InputError(Problem(message=message, source=str(path)))
    there = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    if {sql for (sql,) in there} != {*_CREATED}:
        message = "is damaged: its tables are not those of a results file; take a backup"
        raise InputError(Problem(message=message, source=str(path)))
