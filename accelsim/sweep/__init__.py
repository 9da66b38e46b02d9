"""Sweeps: many points of hardware, dataflow, batch and network, stored as they come.

`accelsim.sweep("array_shape", results="shapes.sqlite", jobs=2)` runs one, or goes on with it;
`accelsim.sweep.execute.sweep` says what each parameter is.

`space` says which points there are, `execute` simulates them, `store` keeps what became of them.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelsim.sweep.summary import Summary


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
        """`accelsim.sweep.execute.sweep`, imported when it is first used."""
        from accelsim.sweep.execute import sweep

        return sweep(source, results, jobs, scheduler, retry_failed)


sys.modules[__name__].__class__ = _Callable
