"""Machines as few would build them, and layers of windows as few would write them."""

from typing import Any

from drawn_networks import Draw
from machines import chain, machine, separate_psums, split, unified

from accelsim.frontend.hardware_file import with_settings
from accelsim.hardware import DATAFLOWS, Hardware
from accelsim.network.graph import GraphError, Network
from accelsim.network.ops import AvgPool, Conv, Lrn, MaxPool, Op, Relu

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


def _conv(draw: Draw, channels: int) -> Conv:
    """Strides beyond the kernel, padding beyond it, taps far apart, groups."""
    groups = draw.divisor(channels)
    return Conv(
        out_channels=groups * draw.number(1, 4),
        kernel=draw.pair(1, 4),
        stride=draw.pair(1, 5),
        dilation=draw.pair(1, 3),
        padding=tuple(draw.number(0, 6) for _ in range(4)),
        groups=groups,
    )


def _pool(draw: Draw) -> MaxPool | AvgPool:
    """Windows that overlap, lie apart, or end beyond the map."""
    kernel = draw.pair(1, 4)
    sides = tuple(draw.number(0, size - 1) for size in (*kernel, *kernel))
    ceil = draw.often()
    return draw.one(MaxPool, AvgPool)(  # type: ignore[no-any-return]
        kernel=kernel, stride=draw.pair(1, 5), padding=sides, ceil_mode=ceil
    )


def odd_network(draw: Draw, layers: int = 3) -> Network:
    """Layers of windows, one after another, as far as there is anything left of the map."""
    channels, ops = draw.number(1, 12), list[Op]()
    shape = (channels, *draw.pair(1, 14))
    for _ in range(layers):
        op = draw.one(
            _conv(draw, channels), _conv(draw, channels), _pool(draw), Relu(), Lrn(size=3)
        )
        try:
            chain(shape, *ops, op)
        except GraphError:
            continue
        ops.append(op)
        channels = op.out_channels if isinstance(op, Conv) else channels
    return chain(shape, *(ops or [Relu()]))
