"""A run's tiles, loops and plan as a mapping, which makes the run again to the cycle."""

from collections.abc import Iterator, Sequence
from typing import Any

from accelsim.lowering.depthwise import is_on_lanes
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.program import Program
from accelsim.lowering.ranking import plain

RunMapping = dict[str, Any]
"""As a mapping file has it."""


def mapping_of(parts: Sequence[Sequence[Program]]) -> RunMapping:
    """The mapping of each part of a network and of its batch; `parts` where there are several."""
    pieces = [piece for programs in parts for piece in _pieces(programs)]
    return pieces[0] if len(pieces) == 1 else {"parts": pieces}


def _pieces(programs: Sequence[Program]) -> Iterator[RunMapping]:
    """The mapping of each size of the parts of a batch."""
    sizes = dict.fromkeys(program.batch for program in programs)
    for size in sizes:
        program = next(each for each in programs if each.batch == size)
        images = {"images": size} if len(programs) > 1 else {}
        yield images | _plan(program) | {"layers": _layers(program)}


def _plan(program: Program) -> RunMapping:
    """What was decided beside the tiles; what there was no choice in is left out."""
    hardware, names = program.hardware, [each.layer.name for each in program.layers]
    plan: RunMapping = {}
    if hardware.array.objective != "time":
        plan["searched_for"] = program.minimised
    if program.target.arrays < hardware.array.count:
        plan["arrays"] = program.target.arrays
    if hardware.depthwise == "best":
        plan["on_lanes"] = [
            each.layer.name for each in program.layers if is_on_lanes(each.layer, each.kernel)
        ]
    if hardware.dram.unread_rows == "skip":
        plan["skips"] = [
            each.layer.name
            for each in program.layers
            if isinstance(each.kernel, GemmKernel) and each.kernel.whole_rows
        ]
    if hardware.fused:
        plan["fused"] = list(program.fuses)
    plan["on_chip"] = {
        stay.feature_map.name: {
            "address": stay.address,
            "readers": [names[reader] for reader in stay.readers],
        }
        for stay in program.stays
    }
    if program.stays:
        plan["rooms"] = {
            each.layer.name: each.placement.space for each in program.layers if each.unit
        }
    kept = any(each.placement.residence.filter == "kept" for each in program.layers)
    return plan | {"shared_weights": "stay" if kept else "fetched"}


def _layers(program: Program) -> RunMapping:
    return {
        each.layer.name: plain(each.tiling) | _dataflow(program, at)
        for at, each in enumerate(program.layers)
        if each.tiling is not None
    }


def _dataflow(program: Program, at: int) -> dict[str, str]:
    """The dataflow of a layer, where each has its own."""
    flow = program.dataflow_of(at) if program.dataflows else None
    return {"dataflow": flow} if flow is not None else {}
