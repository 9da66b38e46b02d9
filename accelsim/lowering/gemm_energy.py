"""The energy of tilings of a GEMM kernel on a systolic array, as their tasks add up."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from accelsim.dram.law import told
from accelsim.hardware import OPERANDS, Operand
from accelsim.lowering.demand import demands, kinds, leaving, tile_runs
from accelsim.lowering.energy import Activity
from accelsim.lowering.folds import Pieces
from accelsim.lowering.kernels import GemmKernel
from accelsim.lowering.systolic import work_of_all
from accelsim.lowering.target import Sizes, Target
from accelsim.lowering.tiling import Tilings
from accelsim.lowering.traffic import Dram, DramCommands, Inside, Sram

Told = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Bursts and opened rows, for each byte of an operand."""


@dataclass(frozen=True, slots=True)
class Done:
    """What tilings of a kernel do, in whatever order their loops run, one entry for each.

    `told` is of a timed DRAM.
    """

    macs: int
    sram: Sram
    inside: Inside
    told: Mapping[Operand, Told]


def done_by(
    kernel: GemmKernel,
    target: Target,
    tilings: Tilings,
    pieces: tuple[Pieces, Pieces, Pieces],
) -> Done:
    """What all tiles do together, which `pieces` along m, n and k make."""
    sram, inside = work_of_all(target.array, *pieces)
    costs = target.rates.dram if target.rates else None
    return Done(
        macs=kernel.macs,
        sram=Sram(**{name: kernel.groups * count for name, count in sram.items()}),
        inside=Inside(**{name: kernel.groups * count for name, count in inside.items()}),
        told=_told(kernel, target, tilings) if costs else {},
    )


def _told(kernel: GemmKernel, target: Target, tilings: Tilings) -> dict[Operand, Told]:
    """As tiles with all rows and columns are, and those with what is left of them."""
    assert target.timing is not None
    tiles, count = kinds(kernel, tilings)
    runs, size = tile_runs(kernel, target, tiles), demands(kernel, target, tiles)
    size = leaving(kernel, target, tiles, size)
    found = {}
    for item in OPERANDS:
        each = told(target.timing, runs[item], target.replays)
        moved = np.maximum((count * size[item]).sum(axis=0), 1)
        bursts, rows = ((count * some).sum(axis=0) / moved for some in each)
        found[item] = bursts, rows
    return found


def energy_of(
    done: Done, target: Target, traffic: Mapping[Operand, Sizes], addend: int, added: int
) -> NDArray[np.float64]:
    """pJ of tilings; of a timed DRAM about.

    `traffic` are the bytes that cross the DRAM channel, beside `addend`; so many words of it are
    `added` that lie on chip.
    """
    assert target.rates is not None
    moved: dict[Operand, Any] = {item: traffic.get(item, 0) for item in OPERANDS}
    moved["ifmap"] = moved["ifmap"] + addend
    dram = Dram(
        ifmap_read_bytes=moved["ifmap"],
        filter_read_bytes=moved["filter"],
        psum_read_bytes=moved["psum"],
        psum_write_bytes=0,
        ofmap_write_bytes=moved["ofmap"],
    )
    reads = done.sram.ifmap_reads + added
    return np.asarray(
        target.rates.energy(
            Activity(
                macs=done.macs,
                inside=done.inside,
                sram=replace(done.sram, ifmap_reads=reads),
                dram=dram,
                commands=_commands(done, moved) if done.told else None,
            )
        ).total
    )


def _commands(done: Done, moved: Mapping[Operand, Any]) -> DramCommands:
    """What a timed DRAM is told; psums go out as often as they come in."""
    bursts: dict[Operand, Any] = {item: moved[item] * done.told[item][0] for item in OPERANDS}
    return DramCommands(
        activates=sum(moved[item] * done.told[item][1] for item in OPERANDS),
        reads=bursts["ifmap"] + bursts["filter"] + bursts["psum"] / 2,
        writes=bursts["ofmap"] + bursts["psum"] / 2,
    )
