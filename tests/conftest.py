"""What all tests share: hypothesis draws the same examples on every run."""

from hypothesis import settings

settings.register_profile("stable", derandomize=True, deadline=None, database=None)
settings.load_profile("stable")
