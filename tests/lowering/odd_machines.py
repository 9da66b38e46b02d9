"""Machines as few would build them: arrays of any shape, small buffers, every switch drawn."""

from typing import Any

from drawn_networks import Draw
from machines import machine, separate_psums, split, unified

from accelsim.frontend.hardware_file import with_settings
from accelsim.hardware import DATAFLOWS, Hardware

SHEETS = ("DDR3-1600", "DDR4-2400", "LPDDR4-3200", "HBM2")


def _array(draw: Draw) -> dict[str, Any]:
    return {
        "rows": draw.one(1, 2, 3, 5, 8, 17),
        "cols": draw.one(1, 2, 3, 7, 16),
        "dataflow": draw.one(*DATAFLOWS),
        "fold_overlap": draw.one("serial", "pipelined"),
        "edge_folds": draw.one("full", "used"),
        "drain": draw.one("rows", "cols"),
        "drain_start": draw.one("lane", "array"),
        "mac_stages": draw.number(1, 3),
        "psum_registers": draw.number(1, 2),
        "reduction": draw.one("window", "tap"),
        "count": draw.one(1, 1, 2, 3, 5),
    }


def _buffers(draw: Draw) -> dict[str, dict[str, Any]]:
    sizes = [f"{draw.number(128, 8192)} B" for _ in range(3)]
    made = draw.one(split(*sizes), unified(sizes[0]), separate_psums(sizes[0]))
    for buffer in made.values():
        if draw.often(0.3):
            buffer["bandwidth"] = f"{draw.number(1, 16)} B/cycle"
    return made


def _switches(draw: Draw, systolic: bool) -> list[str]:
    """Settings that an array may have, or all may."""
    chances = [(0.2, "tile_loads=all"), (0.2, "precision.psum_overflow=saturate")]
    if systolic:
        chances += [
            *((0.4, "fused=[activation, add, pool]"), (0.4, "dram.unread_rows=skip")),
            *((0.2, "depthwise=vector"), (0.2, "depthwise=best")),
        ]
    return [setting for chance, setting in chances if draw.often(chance)]


def odd_machine(draw: Draw, residency: str = "off") -> Hardware:
    """A machine; where its DRAM is timed, of one of a few standards."""
    dram = {
        "bandwidth": draw.one("1 B/cycle", "7 B/cycle", "2.5 B/cycle", "64 B/cycle"),
        "latency": draw.one("0 cycles", "7 cycles", "100 cycles"),
        "burst": draw.one("1 B", "16 B", "64 B"),
    }
    lanes = draw.one(1, 3, 16)
    made = machine(_buffers(draw), _array(draw), dram, lanes=lanes, residency=residency)
    settings = _switches(draw, made.array.dataflow != "rs")
    if draw.often(0.2):
        settings.append(f"dram={{timing: {{standard: {draw.one(*SHEETS)}}}}}")
    return with_settings(made, settings)
