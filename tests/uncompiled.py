"""Modules that numba compiles, as the Python that they are: slow, but there at once."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pytest

from accelsim import jit


@contextmanager
def uncompiled(module: str, function: str) -> Iterator[Callable[..., Any]]:
    """A function of a module in a package `compiled`, with all that it calls."""
    package = module.rpartition(".")[0]

    def of_package() -> list[str]:
        return [name for name in sys.modules if name == package or name.startswith(f"{package}.")]

    with pytest.MonkeyPatch.context() as patch:
        for name in of_package():
            patch.delitem(sys.modules, name)
        patch.setattr(jit, "is_installed", lambda: False)
        found = getattr(import_module(module), function)
        for name in of_package():
            del sys.modules[name]
    yield found
