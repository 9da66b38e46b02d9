"""The engine: plays a Program's tasks in time with SimPy, and sees only byte and cycle counts.

`memory` is what tasks wait for (buffers and the DRAM channel), `compute` an array or vector unit
with its loader and stores, `steady` what of them need not be played, `scheduler` which layer comes
next, `machine` the whole.
"""
