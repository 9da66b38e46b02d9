"""From layers to tile tasks: everything about a schedule that can be computed without a clock.

`kernels` says what a layer computes, `dataflow` how long a GEMM keeps the array busy, `cost`
what a tiling costs, `tiling` which one is best, and `program` lists the tasks.
"""
