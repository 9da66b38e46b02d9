"""The results of a sweep in one SQLite file: every outcome is committed as it arrives.

A file holds the outcomes of the sweep of one name. Which of them belong to the sweep as it is now
is its table `members`: after an edit of the sweep file, points that are no longer in it stay
in the file but are not reported, and come back with the edit undone. Every row has a checksum.
"""

import json
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from accelsim import __version__
from accelsim.errors import InputError, Problem
from accelsim.files import replacing
from accelsim.sweep.about import About, check_sweep
from accelsim.sweep.claim import Claim
from accelsim.sweep.code import CODE
from accelsim.sweep.content import hardware_text
from accelsim.sweep.integrity import damage, refusal
from accelsim.sweep.quantities import Record, hardware_quantities, result_quantities
from accelsim.sweep.records import Outcome, Point, Table, Value, unpacked
from accelsim.sweep.results_file import (
    ABOUT,
    MEMBERS,
    OUTCOMES,
    TABLES,
    check_format,
    create,
    decoded,
    in_words,
    is_empty,
    reading,
    writing,
)
from accelsim.sweep.space import Sweep

_log = logging.getLogger(__name__)
_OUTCOME = "SELECT status, result, wall_seconds, error, attempts FROM outcomes WHERE key = ?"
_STORED = """
SELECT o.status, count(*) FROM members m JOIN outcomes o ON o.key = m.key
WHERE m.position <= ? GROUP BY o.status
"""
_ROWS = """
SELECT m.key, m.network, m.batch, m.parameters, o.status, o.error, o.attempts, o.wall_seconds,
       o.code, {quantities}
FROM members m JOIN outcomes o ON o.key = m.key ORDER BY m.position
"""


class Store:
    """A results file. `Store.open` is for the one process that writes, `Store.read` for others.

    Readers may come at any time. The file must be on a disk of this machine: SQLite's WAL does not
    work over a network. Methods raise InputError where the file is damaged, and TryAgainError where
    it cannot be written (a disk is full); what was put before is safe.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, claim: Claim | None = None
    ) -> None:
        self.path = path
        self._connection = connection
        self._claim = claim
        self._points = 0
        self._kept = ExitStack()

    @classmethod
    def open(cls, path: str | Path, sweep: Sweep, repair: bool = False) -> "Store":
        """Create the file, or continue it; with `repair` without the rows that are damaged.

        Raises InputError for a file that is not ours, is another sweep's, was written by another
        version of accelsim, is damaged, or is being written by another process.
        """
        path = Path(path)
        claim = Claim(path)
        try:
            with in_words(path), _closed_on_error(writing(path)) as connection:
                store = cls(path, connection, claim)
                store._prepare(sweep, repair)
                claim.note()
                return store
        except BaseException:
            claim.release(remove=claim.is_new)
            raise

    @classmethod
    def read(cls, path: str | Path) -> "Store":
        """Open a results file to read; raises InputError where it is none, or damaged."""
        path = Path(path)
        if not os.path.isfile(path):
            raise InputError(
                Problem(message="no such file; `accelsim sweep` writes one", source=str(path))
            )
        with ExitStack() as stack, in_words(path):
            with _closed_on_error(reading(path, stack)) as connection:
                check_format(connection, path)
                store = cls(path, connection)
                store._refuse_damage()
            store._kept = stack.pop_all()
            return store

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
        self._kept.close()
        if self._claim:
            self._claim.release()
            self._claim = None

    # --- Writing

    def _prepare(self, sweep: Sweep, repair: bool) -> None:
        """The tables as they must be before anything is put."""
        if is_empty(self._connection):
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._note()
            with self._transaction() as connection:
                create(connection)
        check_format(self._connection, self.path)
        if repair:
            self._drop_damaged()
        else:
            self._refuse_damage()
        if not next(self._rows("SELECT count(*) FROM about"))[0]:
            with self._transaction() as connection:
                self._write_about(replace(About.of(sweep), content=""))
        check_sweep(self.about, sweep, self.path)
        self._enrol(sweep)

    def _write_about(self, about: About) -> None:
        self._connection.execute("DELETE FROM about")
        rows = [ABOUT.sealed({"key": key, "value": value}) for key, value in about.rows().items()]
        self._connection.executemany(ABOUT.inserted, rows)

    def _drop_damaged(self) -> None:
        """Delete damaged rows; where what says which points there are is, all of that."""
        found = damage(TABLES, self._rows)
        with self._transaction() as connection:
            for table, rows in found.items():
                marks = [(number,) for number, _ in rows]
                connection.executemany(f"DELETE FROM {table} WHERE rowid = ?", marks)
                _log.warning("%s damaged rows of `%s` are dropped", f"{len(rows):,}", table)
            if {ABOUT.name, MEMBERS.name} & set(found):
                connection.execute("DELETE FROM about")

    @classmethod
    def repair(cls, path: str | Path) -> None:
        """Drop damaged rows, which the sweep computes again; raises InputError if it has none.

        What the file says of its sweep must be whole: only the sweep file can replace that.
        """
        path = Path(path)
        if not os.path.isfile(path):
            raise InputError(
                Problem(message="no such file; `accelsim sweep` writes one", source=str(path))
            )
        claim = Claim(path)
        try:
            with in_words(path), _closed_on_error(writing(path)) as connection:
                claim.note()
                check_format(connection, path)
                store = cls(path, connection, claim)
                about = store.about
                store._drop_damaged()
                with store._transaction():
                    if not next(store._rows("SELECT count(*) FROM about"))[0]:
                        store._write_about(replace(about, content=""))
            store.close()
        except BaseException:
            claim.release()
            raise

    def check_in_place(self) -> None:
        """Raise InputError where the file is no more what this has written."""
        loss = self._claim.loss() if self._claim else ""
        if loss:
            try:
                ((count,),) = self._connection.execute("SELECT count(*) FROM outcomes")
                held = f"the {count:,} points that it held are lost"
            except sqlite3.Error:
                held = "the points that it held are lost"
            raise InputError(
                Problem(message=f"{loss}: {held}; give another path", source=str(self.path))
            )

    def put(self, point: Point, outcome: Outcome) -> None:
        """Store what became of a point, in a transaction of its own.

        A later outcome of the same point replaces the first. The point becomes a member of the
        sweep.
        """
        quantities = hardware_quantities(point.hardware)
        reached = result_quantities(outcome.totals, point.batch)
        row = {
            "key": point.key,
            "status": outcome.status,
            "error": outcome.error,
            "attempts": outcome.attempts,
            "wall_seconds": float(outcome.wall_seconds),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "version": __version__,
            "code": CODE,
            "quantities": json.dumps(quantities | reached),
            "hardware": hardware_text(point.hardware),
            "result": outcome.result,
        }
        with self._transaction() as connection:
            self._join(point)
            connection.execute(OUTCOMES.inserted, OUTCOMES.sealed(row))

    def adopt(self, point: Point) -> None:
        """Make a point that the search has sampled again a member; nothing if it is one."""
        with self._transaction():
            self._join(point)

    def _join(self, point: Point) -> None:
        known = self._connection.execute("SELECT 1 FROM members WHERE key = ?", (point.key,))
        if known.fetchone() is None:
            place = point.place or self._next_place()
            row = {"position": place, **_member(point)}
            self._connection.execute(MEMBERS.inserted_at("position"), row)

    def _next_place(self) -> int:
        """Where a point that was sampled stands: behind all that are in the sweep by themselves."""
        ((last,),) = self._connection.execute("SELECT coalesce(max(position), 0) FROM members")
        return max(int(last), self._points) + 1

    def _enrol(self, sweep: Sweep) -> None:
        """Write down the sweep as it is now, and make those of its points members that are stored.

        Others become members when they are put. Those that a search has sampled stay while the
        sweep is unchanged.
        """
        known, now = self.about, About.of(sweep)
        self._points = now.points
        if known == now:
            return
        self._tell_of_other_code()
        with self._transaction() as connection:
            self._write_about(now)
            if known.content != sweep.content:
                connection.execute("DELETE FROM members")
                stored = self.done_keys() | self.failed_keys()
                for point in sweep.points if stored else ():
                    if point.key in stored:
                        self._join(point)

    def _tell_of_other_code(self) -> None:
        """A warning where stored points are of other sources than those that run now."""
        count = next(self._rows("SELECT count(*) FROM outcomes WHERE code != ?", CODE))[0]
        if count:
            _log.warning(
                "%s: %s stored points were computed by other sources of accelsim %s than these "
                "(%s), which may find other numbers; give another path to compute all anew",
                *(self.path, f"{count:,}", __version__, CODE),
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self.check_in_place()
        with in_words(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # SQLite itself ends some that fail
                    self._connection.execute("ROLLBACK")
                raise
        self._note()

    def _note(self) -> None:
        """What is there now is ours."""
        if self._claim:
            self._claim.note()

    # --- Reading

    def _rows(self, query: str, *values: Value) -> Iterator[Any]:
        with in_words(self.path):
            yield from self._connection.execute(query, values)

    def _refuse_damage(self) -> None:
        found = damage(TABLES, self._rows)
        if found:
            raise refusal(found, str(self.path))

    def export(self, path: Path) -> None:
        """Write a copy to `path`, whole and consistent though others may be writing."""
        with replacing(path) as beside, in_words(path):
            copy = sqlite3.connect(beside, isolation_level=None)
            try:
                self._connection.backup(copy)
            finally:
                copy.close()

    @property
    def about(self) -> About:
        """What the file says of its sweep."""
        with decoded(self.path):
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
        points = self.about.points
        ((sampled,),) = self._rows("SELECT count(*) FROM members WHERE position > ?", points)
        return points + int(sampled)

    def stored(self, points: int, retry_failed: bool = False) -> tuple[int, int]:
        """How many of the sweep's first `points` are stored, and how many of these failed.

        Those that failed do not count where they are tried again.
        """
        rows = self._rows(_STORED, points)
        counts = dict(rows)
        failed = 0 if retry_failed else counts.get("failed", 0)
        return counts.get("done", 0) + failed, failed

    def parameters(self) -> list[str]:
        """The keys that the sweep varies, which every record has."""
        rows = self._rows("SELECT parameters FROM members LIMIT 1")
        with decoded(self.path):
            return [name for (parameters,) in rows for name in json.loads(parameters)]

    def outcome(self, key: str) -> Outcome | None:
        """What became of a point, with its layers; None if nothing has yet."""
        row = next(self._rows(_OUTCOME, key), None)
        if row is None:
            return None
        status, result, wall_seconds, error, attempts = row
        with decoded(self.path):
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
        with decoded(self.path):
            records = [_record(row, json.loads(row[-1]).items()) for row in rows]
        keys = dict.fromkeys(map(tuple, records))
        names = dict.fromkeys(chain.from_iterable(keys))
        if len(keys) <= 1:
            return records
        return [{name: record.get(name) for name in names} for record in records]

    def brief_records(self, quantities: Sequence[str]) -> list[Record]:
        """As `records`, but with these quantities only, two or more, which is quicker."""
        marks = ", ".join("?" * len(quantities))
        paths = [f'$."{name}"' for name in quantities]
        query = _ROWS.format(quantities=f"json_extract(o.quantities, {marks})")
        with decoded(self.path):
            rows = self._rows(query, *paths)
            return [_record(row, zip(quantities, json.loads(row[-1]), strict=True)) for row in rows]

    def layers(self) -> Iterator[tuple[Record, Table]]:
        """Each point with an outcome, and its layers as in `accelsim run --json`."""
        for record in self.records():
            outcome = self.outcome(str(record["key"]))
            assert outcome is not None
            with decoded(self.path):
                layers = outcome.layers
            yield record, layers


def _record(row: Sequence[Any], quantities: Iterable[tuple[str, Value]]) -> Record:
    key, network, batch, parameters, status, error, attempts, seconds, code, _ = row
    return {
        "network": network,
        "batch": batch,
        **json.loads(parameters),
        "status": status,
        **dict(quantities),
        "error": error,
        "attempts": attempts,
        "wall_seconds": seconds,
        "code": code,
        "key": key,
    }


def _member(point: Point) -> dict[str, object]:
    return MEMBERS.sealed(
        {
            "key": point.key,
            "network": point.network,
            "batch": point.batch,
            "parameters": json.dumps(point.parameters),
        }
    )


@contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        yield connection
    except BaseException:
        connection.close()
        raise
