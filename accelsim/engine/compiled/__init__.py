"""The engine once more, in code that numba compiles (extra `fast`): for sweeps, and many tiles.

It plays tile by tile what `machine` plays, on tables of numbers: `plan` is what a Program says,
`state` what changes; `events`, `rooms`, `channel`, `units`, `loader` and `loop` do what `clock`,
`memory`, `unit` and `machine` do, in the same order, so that the times are the same. SimPy's engine
is the one of record, and the tests hold both together.
"""
