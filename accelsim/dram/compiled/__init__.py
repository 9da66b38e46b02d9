"""The replay of a DRAM channel once more, in code that numba compiles (extra `fast`).

It gives the commands that `replay.Channel` gives, without refresh; the tests hold both together.
"""
