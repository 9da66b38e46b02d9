"""Sweeps: many points of hardware, dataflow, batch and network, stored as they come.

`space` says which points there are, `execute` simulates them, `store` keeps what became of them.
"""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """This package, which is also the function `accelsim.sweep(...)`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """`accelsim.sweep.execute.sweep`, imported when it is first used."""
        from accelsim.sweep.execute import sweep

        return sweep(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
