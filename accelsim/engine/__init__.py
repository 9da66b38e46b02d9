"""The engine: plays a Program's tasks in time with SimPy, and sees only byte and cycle counts.

`clock` is time and what all components owe to it, `memory` what tasks wait for (buffers and the
DRAM channel), `unit` an array or vector unit with its loader and stores, `cursor` its place in the
loops, `leap` what of them need not be played, `observed` the parts where somebody watches,
`scheduler` which layer comes next, `machine` the whole. The prices are found before, in lowering.
"""
