"""Sweeps: many points of hardware, dataflow, batch and network, stored as they come.

`accelsim.sweep("array_shape", results="shapes.sqlite", jobs=2)` runs one, or goes on with it: this
package is also the function `sweep`.

`space` says which points there are, `execute` simulates them, `store` keeps what became of them.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelsim.sweep.summary import Summary


__all__ = ["sweep"]


def sweep(
    source: str | Path | Mapping[str, Any],
    results: str | Path | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
    retry_failed: bool = False,
) -> "Summary":
    """Run a sweep, or go on with it, and return what was found.

    `source` is a built-in name, a path, or what a sweep file would hold. `results` is a SQLite
    file, `<name>.sqlite` if None. `jobs` is at most one process per core, and all cores if None;
    `scheduler` the address of a Dask cluster. Scripts call this under
    `if __name__ == "__main__":`. Raises InputError for bad input and ClusterLostError when a
    scheduler goes; a point that fails is a record with its error.
    """
    from accelsim.sweep.execute import sweep as run  # imported when it is first used

    return run(source, results, jobs, scheduler, retry_failed)


class _Callable(ModuleType):
    """This package, which is also the function `accelsim.sweep(...)`."""

    def __call__(
        self,
        source: str | Path | Mapping[str, Any],
        results: str | Path | None = None,
        jobs: int | None = None,
        scheduler: str | None = None,
        retry_failed: bool = False,
    ) -> "Summary":
        """See `sweep`."""
        return sweep(source, results, jobs, scheduler, retry_failed)


sys.modules[__name__].__class__ = _Callable
