"""What all tests share: hypothesis draws the same examples on every run, the BLAS one thread.

Modules are compiled once and not by each of the many processes that tests start, also where
PYTHONDONTWRITEBYTECODE is set.
"""

import gc
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from importlib import import_module

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # xdist's workers have the cores already

import pytest
import typer.main
from drawing import MOST, PLAIN
from hypothesis import settings

from accelsim.lowering.recall import Memory
from accelsim.sweep.work import this_worker

settings.register_profile("all", derandomize=True, deadline=None, database=None, max_examples=MOST)
settings.register_profile("plain", settings.get_profile("all"), max_examples=PLAIN)


OURS = "ACCELSIM_TESTS_COMPILED"


def pytest_configure(config: pytest.Config) -> None:
    """Where the slow tests are left out, fewer inputs are drawn. What is compiled is shared."""
    if OURS not in os.environ:
        os.environ[OURS] = os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="accelsim-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop(OURS), ignore_errors=True))
    settings.load_profile("plain" if config.option.markexpr == "not slow" else "all")
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        sys.dont_write_bytecode = False


CASES = int(os.environ.get("ACCELSIM_CASES", "0"))
"""Where this is given, at most so many cases of each test, as `.ci/run` asks of old releases."""


LONG = {"test_training_tables.py", "test_readme.py", "test_full_size.py"}
"""Single tests of these take a minute: they come first, so that no worker ends with one alone."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of tests with many cases leave out most: each that is kept stands for its neighbours."""
    items.sort(key=lambda item: item.path.name not in LONG)
    if not CASES:
        return
    cases = defaultdict(list)
    for item in items:
        cases[item.nodeid.partition("[")[0]].append(item)
    kept = {each for some in cases.values() for each in some[:: -(-len(some) // CASES)]}
    config.hook.pytest_deselected(items=[each for each in items if each not in kept])
    items[:] = [each for each in items if each in kept]


def pytest_collection_finish() -> None:
    """What is collected stays: garbage is looked for among what tests make, and seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


SEARCHING = (
    "accelsim.explanation",
    "accelsim.facade",
    "accelsim.lowering.lower",
    "accelsim.programs",
    "accelsim.results.best_dataflow",
)
"""What begins with an empty memory of searches where its caller has none."""


SMALL = {
    *("best mappings", "fits", "played mappings", "plays"),
    *("refined", "schedules", "uncut", "vector kernels"),
}
"""What takes little room of that which a memory of searches keeps, and is long to find."""


@pytest.fixture(scope="session", autouse=True)
def one_memory() -> Iterator[Memory]:
    """One memory for all runs, as in a sweep: the same layers are searched once.

    That a memory changes no result is tested where each search begins with none, of its own; so
    must one that is falsified.
    """
    memory = Memory(most=100)
    memory.patience.failed = True  # it spends so much that it would soon compile
    with pytest.MonkeyPatch.context() as patch:
        for name in SEARCHING:
            patch.setattr(import_module(name), "Memory", lambda: memory)
        patch.setattr(this_worker, "memory", memory)
        yield memory


@pytest.fixture(scope="module", autouse=True)
def little_room(one_memory: Memory) -> Iterator[None]:
    """Tables of all tilings of a kernel are forgotten with the module; else there are gigabytes."""
    yield
    for kind in one_memory.kinds.keys() - SMALL:
        del one_memory.kinds[kind]


@pytest.fixture(scope="session", autouse=True)
def one_command_line() -> Iterator[None]:
    """The commands with their options, which typer makes anew for each call: here they stay."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", cache(typer.main.get_command))
        yield
