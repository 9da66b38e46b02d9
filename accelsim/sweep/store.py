"""The results of a sweep in one SQLite file: every outcome is committed as it arrives.

A file holds the outcomes of the sweep of one name. Which of them belong to the sweep as it is now
is its table `members`: after an edit of the sweep file, points that are no longer in it stay
in the file but are not reported, and come back with the edit undone.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from accelsim import __version__
from accelsim.errors import InputError, Problem, TryAgainError
from accelsim.results import SCHEMA as RESULT_SCHEMA
from accelsim.sweep.content import hardware_text
from accelsim.sweep.quantities import (
    Constraint,
    Objectives,
    Record,
    hardware_quantities,
    result_quantities,
)
from accelsim.sweep.records import Outcome, Point, Table, Value, unpacked
from accelsim.sweep.space import Sweep

SCHEMA = 1
"""Of the tables here; raised when what they hold changes."""

_APPLICATION = 0x41435357  # "ACSW", in the header of our SQLite files
_TABLES = """
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE members (
    position INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, network TEXT NOT NULL,
    batch INTEGER NOT NULL, parameters TEXT NOT NULL
);
CREATE TABLE outcomes (
    key TEXT PRIMARY KEY, status TEXT NOT NULL, error TEXT NOT NULL, attempts INTEGER NOT NULL,
    wall_seconds REAL NOT NULL, finished TEXT NOT NULL, version TEXT NOT NULL,
    quantities TEXT NOT NULL, hardware TEXT NOT NULL, result BLOB NOT NULL
);
"""
_OUTCOME = "SELECT status, result, wall_seconds, error, attempts FROM outcomes WHERE key = ?"
_ROWS = """
SELECT m.key, m.network, m.batch, m.parameters, o.status, o.error, o.attempts, o.wall_seconds,
       {quantities}
FROM members m JOIN outcomes o ON o.key = m.key ORDER BY m.position
"""


@dataclass(frozen=True, slots=True)
class About:
    """What a results file says of its sweep."""

    name: str
    content: str
    source: str
    objectives: Objectives
    constraints: tuple[Constraint, ...]
    version: str

    def rows(self) -> dict[str, str]:
        """As text by key."""
        bounds = [[each.quantity, each.least, each.most] for each in self.constraints]
        return {
            "name": self.name,
            "content": self.content,
            "source": self.source,
            "objectives": json.dumps(dict(self.objectives)),
            "constraints": json.dumps(bounds),
            "version": self.version,
            "results": str(RESULT_SCHEMA),
        }

    @classmethod
    def from_rows(cls, rows: Mapping[str, str]) -> "About":
        """The inverse of `rows`."""
        bounds = (Constraint(*each) for each in json.loads(rows["constraints"]))
        return cls(
            name=rows["name"],
            content=rows["content"],
            source=rows["source"],
            objectives=json.loads(rows["objectives"]),
            constraints=tuple(bounds),
            version=rows["version"],
        )

    @classmethod
    def of(cls, sweep: Sweep) -> "About":
        """What is written of a sweep today."""
        return cls(
            name=sweep.identity,
            content=sweep.content,
            source=sweep.source,
            objectives=sweep.objectives,
            constraints=sweep.constraints,
            version=__version__,
        )


class Store:
    """A results file. `Store.open` is for the one process that writes, `Store.read` for others.

    Readers may come at any time. The file must be on a disk of this machine: SQLite's WAL does not
    work over a network. Methods raise InputError where the file is damaged, and TryAgainError where
    it cannot be written (a disk is full); what was put before is safe.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, lock: sqlite3.Connection | None = None
    ) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock

    @classmethod
    def open(cls, path: str | Path, sweep: Sweep) -> "Store":
        """Create the file, or continue it.

        Raises InputError for a file that is not ours, is another sweep's, was written by another
        version of accelsim, or is being written by another process.
        """
        path = Path(path)
        is_there = path.exists()
        lock = _lock(path)
        try:
            with _in_words(path), _closed_on_error(_writing(path)) as connection:
                if _is_new(connection):
                    _create(connection, About.of(sweep))
                _check_format(connection, path)
                store = cls(path, connection, lock)
                _check_sweep(store.about, sweep, path)
                store._enrol(sweep)
                return store
        except BaseException:
            if not is_there:
                _remove(path)
            _unlock(path, lock)
            raise

    @classmethod
    def read(cls, path: str | Path) -> "Store":
        """Open a results file to read; raises InputError where it is none."""
        path = Path(path)
        if not path.is_file():
            raise InputError(Problem("no such file; `accelsim sweep` writes one", str(path)))
        with _in_words(path), _closed_on_error(_reading(path)) as connection:
            _check_format(connection, path)
            return cls(path, connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; every outcome is in it already."""
        self._connection.close()
        if self._lock:
            _unlock(self.path, self._lock)
            self._lock = None

    # --- Writing

    def put(self, point: Point, outcome: Outcome) -> None:
        """Store what became of a point, in a transaction of its own.

        A later outcome of the same point replaces the first. A point that the search has sampled
        becomes a member of the sweep.
        """
        quantities = hardware_quantities(point.hardware)
        reached = result_quantities(outcome.totals, point.batch)
        row = {
            "key": point.key,
            "status": outcome.status,
            "error": outcome.error,
            "attempts": outcome.attempts,
            "wall_seconds": outcome.wall_seconds,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "version": __version__,
            "quantities": json.dumps(quantities | reached),
            "hardware": hardware_text(point.hardware),
            "result": outcome.result,
        }
        columns, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
        with self._transaction() as connection:
            self._join(point)
            connection.execute(f"INSERT OR REPLACE INTO outcomes ({columns}) VALUES ({marks})", row)

    def adopt(self, point: Point) -> None:
        """Make a point that the search has sampled again a member; nothing if it is one."""
        with self._transaction():
            self._join(point)

    def _join(self, point: Point) -> None:
        self._connection.execute(
            "INSERT OR IGNORE INTO members (key, network, batch, parameters) VALUES (?, ?, ?, ?)",
            _member(point),
        )

    def _enrol(self, sweep: Sweep) -> None:
        """Write down the sweep as it is now, and make its points the members.

        Those that a search has sampled stay while the sweep is unchanged.
        """
        known = dict(self._rows("SELECT key, value FROM about"))
        said = About.of(sweep).rows()
        if known == said:
            return
        with self._transaction() as connection:
            connection.execute("DELETE FROM about")
            connection.executemany("INSERT INTO about VALUES (?, ?)", said.items())
            if known.get("content") != sweep.content:
                connection.execute("DELETE FROM members")
                connection.executemany(
                    "INSERT INTO members (key, network, batch, parameters) VALUES (?, ?, ?, ?)",
                    map(_member, sweep.points),
                )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _in_words(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite itself ends some that fail
                    self._connection.execute("ROLLBACK")
                raise

    # --- Reading

    def _rows(self, query: str, *values: Value) -> Iterator[Any]:
        with _in_words(self.path):
            yield from self._connection.execute(query, values)

    @property
    def about(self) -> About:
        """What the file says of its sweep."""
        return About.from_rows(dict(self._rows("SELECT key, value FROM about")))

    def done_keys(self) -> set[str]:
        """Points that were simulated, members of the sweep or not."""
        return self._keys("done")

    def failed_keys(self) -> set[str]:
        """Points that were tried and failed, members of the sweep or not."""
        return self._keys("failed")

    def _keys(self, status: str) -> set[str]:
        rows = self._rows("SELECT key FROM outcomes WHERE status = ?", status)
        return {key for (key,) in rows}

    def count(self) -> int:
        """Points of the sweep, those that have no outcome yet too."""
        ((count,),) = self._rows("SELECT count(*) FROM members")
        return int(count)

    def parameters(self) -> list[str]:
        """The keys that the sweep varies, which every record has."""
        rows = self._rows("SELECT parameters FROM members LIMIT 1")
        return [name for (parameters,) in rows for name in json.loads(parameters)]

    def outcome(self, key: str) -> Outcome | None:
        """What became of a point, with its layers; None if nothing has yet."""
        row = next(self._rows(_OUTCOME, key), None)
        if row is None:
            return None
        status, result, wall_seconds, error, attempts = row
        totals, _ = unpacked(result)
        return Outcome(
            key=key,
            status=status,
            totals=totals,
            result=result,
            wall_seconds=wall_seconds,
            error=error,
            attempts=attempts,
        )

    def hardware(self, key: str) -> str:
        """The resolved hardware of a point, a line of JSON for each key that has no default."""
        ((hardware,),) = self._rows("SELECT hardware FROM outcomes WHERE key = ?", key)
        return str(hardware)

    def records(self) -> list[Record]:
        """Points with an outcome, in the sweep's order, as flat records of the same keys.

        First the parameters by their keys, then status and error, quantities of the hardware, and
        the result's. A failed point has None for the latter.
        """
        rows = self._rows(_ROWS.format(quantities="o.quantities"))
        records = [_record(row, json.loads(row[-1]).items()) for row in rows]
        keys = dict.fromkeys(map(tuple, records))
        names = dict.fromkeys(chain.from_iterable(keys))
        if len(keys) <= 1:
            return records
        return [{name: record.get(name) for name in names} for record in records]

    def brief_records(self, quantities: Sequence[str]) -> list[Record]:
        """As `records`, but with these quantities only, two or more, which is quicker."""
        paths = ", ".join(f"'$.{name}'" for name in quantities)
        rows = self._rows(_ROWS.format(quantities=f"json_extract(o.quantities, {paths})"))
        return [_record(row, zip(quantities, json.loads(row[-1]), strict=True)) for row in rows]

    def layers(self) -> Iterator[tuple[Record, Table]]:
        """Each point with an outcome, and its layers as in `accelsim run --json`."""
        for record in self.records():
            outcome = self.outcome(str(record["key"]))
            assert outcome is not None
            yield record, outcome.layers


def _record(row: Sequence[Any], quantities: Iterable[tuple[str, Value]]) -> Record:
    key, network, batch, parameters, status, error, attempts, seconds, _ = row
    return {
        "network": network,
        "batch": batch,
        **json.loads(parameters),
        "status": status,
        **dict(quantities),
        "error": error,
        "attempts": attempts,
        "wall_seconds": seconds,
        "key": key,
    }


def _member(point: Point) -> tuple[str, str, int, str]:
    return point.key, point.network, point.batch, json.dumps(point.parameters)


# --- The file -------------------------------------------------------------------------------------


def is_results_file(path: Path) -> bool:
    """Whether a file is SQLite's."""
    with path.open("rb") as file:
        return file.read(16) == b"SQLite format 3\0"


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    """A connection that survives kill -9 with all that was committed; sqlite3.Error."""
    uri = f"{path.absolute().as_uri()}?{mode}"
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30)
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _writing(path: Path) -> sqlite3.Connection:
    try:
        return _connect(path, "mode=rwc")
    except sqlite3.Error as error:
        raise InputError(Problem(_unreadable(error), str(path))) from None


def _reading(path: Path) -> sqlite3.Connection:
    """As a writer that never writes, so that WAL's files go when the last one closes.

    Where WAL's files cannot be, such as in a folder that is read-only, nobody writes.
    """
    try:
        connection = _connect(path, "mode=rw")
        connection.execute("PRAGMA query_only = ON")
        return connection
    except sqlite3.OperationalError:
        return _connect(path, "immutable=1")
    except sqlite3.Error as error:
        raise InputError(Problem(_unreadable(error), str(path))) from None


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    """SQLite's errors as ours, but for those that are our fault."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise TryAgainError(f"{path}: cannot be read or written: {error}") from None
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
        message = f"is damaged ({error}); SQLite's .recover may save some of it, or take a backup"
        raise InputError(Problem(message, str(path))) from None


@contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        yield connection
    except BaseException:
        connection.close()
        raise


def _unreadable(error: sqlite3.Error) -> str:
    if isinstance(error, sqlite3.OperationalError):
        return f"cannot be opened: {error}"
    return "is not a results file of `accelsim sweep`; give another path"


def _is_new(connection: sqlite3.Connection) -> bool:
    """Whether the file has nothing in it yet."""
    return not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def _create(connection: sqlite3.Connection, about: About) -> None:
    """The tables and whose they are, all of it or nothing; no points yet."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {SCHEMA}")
    for table in _TABLES.strip().split(";\n"):
        connection.execute(table)
    rows = replace(about, content="").rows()
    connection.executemany("INSERT INTO about VALUES (?, ?)", rows.items())
    connection.execute("COMMIT")


def _remove(path: Path) -> None:
    """Take a file away that could not be made, and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)


def _check_format(connection: sqlite3.Connection, path: Path) -> None:
    """Raise InputError unless the file is one of ours, of this schema."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if application != _APPLICATION:
        message = "is not a results file of `accelsim sweep`; give another path"
        raise InputError(Problem(message, str(path)))
    if schema != SCHEMA:
        message = (
            f"has schema {schema}, and accelsim {__version__} reads schema {SCHEMA}; use the "
            "version of accelsim that wrote it, or give another path"
        )
        raise InputError(Problem(message, str(path)))


def _check_sweep(about: About, sweep: Sweep, path: Path) -> None:
    """Raise InputError for results of another sweep, or of another version of the model."""
    if about.name != sweep.identity:
        message = (
            f"holds the sweep {about.name!r}, not {sweep.identity!r}; results of two sweeps are "
            "never mixed: give another path"
        )
        raise InputError(Problem(message, str(path)))
    if about.version != __version__:
        message = (
            f"was written by accelsim {about.version}, whose results may differ from those of "
            f"{__version__}; go on with that version, or give another path"
        )
        raise InputError(Problem(message, str(path)))


def _lock(path: Path) -> sqlite3.Connection:
    """Hold what only one process can: a lock beside the file, which ends with the process."""
    beside = _lock_path(path)
    if not path.parent.is_dir():
        raise InputError(Problem(f"there is no directory {path.parent}", str(path)))
    try:
        lock = sqlite3.connect(beside, isolation_level=None, timeout=0)
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            message = "another process is writing to it; wait for it, or give another path"
        else:
            beside.unlink(missing_ok=True)
            message = f"cannot be written: {error}"
        raise InputError(Problem(message, str(path))) from None
    return lock


def _unlock(path: Path, lock: sqlite3.Connection) -> None:
    _lock_path(path).unlink(missing_ok=True)
    lock.close()


def _lock_path(path: Path) -> Path:
    return path.with_name(f"{path.name}-lock")
