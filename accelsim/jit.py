"""Code that numba compiles (extra `fast`), and when that pays.

What is compiled is kept on disk, where the digest of its sources names it: numba by itself would
not see that a function which another calls has changed. Python does the same where there is no
numba, or it is not worth it: no number depends on which of them did.
"""

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., object])
Result = TypeVar("Result")

TO_LOAD, TO_COMPILE = 2.0, 20.0
"""Seconds that it takes at most to load numba and what is kept, and to compile it."""

MANY_TILES = 50_000
"""Of a Program: it may take Python longer than it takes to load compiled code."""

BARE: dict[str, Any] = {"_nrt": False, "error_model": "numpy"}
"""It makes no arrays, so none are counted who hold one: that took a third of its time. And it
divides by nothing that may be zero."""

ENTRIES = {"loop.play_all", "controller.replay_all"}
"""What compiled code is entered by, as numba calls what it keeps of them."""

PACKAGE = Path(__file__).parent


def jit(function: Function) -> Function:
    """`function`, compiled where an `entry` calls it."""
    if not is_installed():
        return function
    from numba import njit

    compiled: Function = njit(**BARE)(function)
    return compiled


def entry(function: Function) -> Function:
    """`function`, compiled with all that it calls when it is first called, or read from disk."""
    if not is_installed():
        return function
    from numba import config, njit

    settings: Any = config
    before, settings.CACHE_DIR = settings.CACHE_DIR, str(directory())
    try:
        compiled: Function = njit(cache=_can_keep(), **BARE)(function)
    finally:
        settings.CACHE_DIR = before
    return compiled


@cache
def is_installed() -> bool:
    """Whether there is a compiler."""
    return find_spec("numba") is not None


def is_kept() -> bool:
    """Whether all that is compiled of these very sources lies on disk."""
    kept = {path.name.partition("-")[0] for path in directory().rglob("*.nbi")}
    return kept >= ENTRIES


def _can_keep() -> bool:
    try:
        directory().mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(directory(), os.W_OK)


@cache
def directory() -> Path:
    """Where what this Python and numba compile of these very sources is kept."""
    digest = sha256(f"{sys.implementation.cache_tag} {version('numba')}".encode())
    for source in (Path(__file__), *sorted(PACKAGE.glob("*/compiled/*.py"))):
        digest.update(source.read_bytes())
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    home = os.environ.get("NUMBA_CACHE_DIR") or os.path.join(caches, "accelsim")
    return Path(home, f"compiled-{digest.hexdigest()[:16]}")


@dataclass
class Patience:
    """Waits with compiled code until Python has `spent` as long as it takes to have that.

    So whatever comes, it takes at most twice as long as it might have. Once it `works`, all that
    it can do is left to it.
    """

    spent: float = 0.0
    works: bool = False
    failed: bool = False

    def is_over(self, tiles: int = 0) -> bool:
        """Whether compiled code pays now, or for so many tiles, if it is kept."""
        if self.failed or not is_installed():
            return False
        if self.works or self.spent >= TO_COMPILE:
            return True
        return (self.spent >= TO_LOAD or tiles >= MANY_TILES) and is_kept()

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count the seconds that Python takes."""
        begun = time.process_time()
        try:
            yield
        finally:
            self.spent += time.process_time() - begun

    def tried(self, compiled: Callable[[], Result]) -> Result | None:
        """What compiled code says; None, from then on, where it cannot be had."""
        try:
            result = compiled()
        except Exception as failure:
            self.failed = True
            warnings.warn(f"numba does not work here, so Python does it: {failure}", stacklevel=2)
            return None
        self.works = True
        return result
