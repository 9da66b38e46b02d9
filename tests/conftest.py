"""What all tests share: hypothesis draws the same examples on every run, the BLAS one thread."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # xdist's workers have the cores already

import pytest
from hypothesis import settings

settings.register_profile("all", derandomize=True, deadline=None, database=None, max_examples=100)
settings.register_profile("plain", settings.get_profile("all"), max_examples=20)


def pytest_configure(config: pytest.Config) -> None:
    """Where the slow tests are left out, a fifth of the inputs are drawn."""
    settings.load_profile("plain" if config.option.markexpr == "not slow" else "all")
