"""Sweeps: many points of hardware, dataflow, batch and network, stored as they come.

`space` says which points there are, `execute` simulates them, `store` keeps what became of them.
"""
