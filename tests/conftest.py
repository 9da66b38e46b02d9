"""What all tests share: hypothesis draws the same examples on every run, the BLAS one thread.

Modules are compiled once and not by each of the many processes that tests start, also where
PYTHONDONTWRITEBYTECODE is set.
"""

import os
import sys

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # xdist's workers have the cores already

import pytest
from drawing import MOST, PLAIN
from hypothesis import settings

settings.register_profile("all", derandomize=True, deadline=None, database=None, max_examples=MOST)
settings.register_profile("plain", settings.get_profile("all"), max_examples=PLAIN)


def pytest_configure(config: pytest.Config) -> None:
    """Where the slow tests are left out, fewer inputs are drawn."""
    settings.load_profile("plain" if config.option.markexpr == "not slow" else "all")
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        sys.dont_write_bytecode = False
