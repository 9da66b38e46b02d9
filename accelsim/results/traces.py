"""Every trace that a run can write: which endings its file may have, and who writes it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from accelsim.lowering.program import Program
from accelsim.results.dram_trace import refuse_other_endings, write_dram_trace
from accelsim.results.sram_trace import refuse_other_forms, write_sram_trace
from accelsim.results.trace import write_trace

Runs = Sequence[Sequence[Program]]
"""What is timed one after another: the programs of the parts in which each batch runs."""


def _refuse_none(path: str) -> None:
    """Any ending will do."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A kind of trace: what refuses a path before a run that may be long, and what plays it."""

    write: Callable[[Runs, str], None]
    refuse: Callable[[str], None] = _refuse_none


TRACES: Mapping[str, Trace] = {
    "trace_dram": Trace(write_dram_trace, refuse_other_endings),
    "trace_sram": Trace(
        lambda runs, path: write_sram_trace([*chain.from_iterable(runs)], path), refuse_other_forms
    ),
    "trace": Trace(lambda runs, path: write_trace([*chain.from_iterable(runs)], path)),
}
"""By the argument of `simulate` that names its file."""


def refuse_other_traces(paths: Mapping[str, str]) -> None:
    """Raise InputError for the path of a trace, by argument, that has no such ending."""
    for argument, trace in TRACES.items():
        if argument in paths:
            trace.refuse(paths[argument])


def write_traces(runs: Runs, paths: Mapping[str, str]) -> None:
    """Play `runs` once more for each trace that is asked for, and write it."""
    for argument, trace in TRACES.items():
        if argument in paths:
            trace.write(runs, paths[argument])
