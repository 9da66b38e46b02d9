"""What all tests share: hypothesis draws the same examples on every run, the BLAS one thread."""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # xdist's workers have the cores already

from hypothesis import settings

settings.register_profile("stable", derandomize=True, deadline=None, database=None)
settings.load_profile("stable")
