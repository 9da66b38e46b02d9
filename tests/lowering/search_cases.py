"""Layers and machines drawn over the space that users can reach, each by its number.

Case `number` of a `seed` is the same alone or among others, so a number reproduces a failure. What
is drawn does not depend on what the search finds or refuses.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import count
from typing import Any

import numpy as np
from cases import LAYOUTS, totals
from numpy.random import Generator

from accelsim.frontend.dram_sheet import dram_sheet, dram_standards
from accelsim.hardware import OPERANDS, Array, Hardware
from accelsim.lowering.kernels import GemmKernel, kernel_of
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import Conv, Dense, MatMul, Op, Shape

KIB, MIB = 2**10, 2**20


@dataclass(frozen=True, slots=True)
class LayerCase:
    """A layer by itself, for `batch` images; its inputs lie in DRAM."""

    op: Op
    inputs: tuple[Shape, ...]
    batch: int = 1

    @property
    def network(self) -> Network:
        """The network of this layer."""
        names = tuple(f"x{place}" for place in range(len(self.inputs)))
        shapes = dict(zip(names, self.inputs, strict=True))
        return build_network("alone", shapes, [LayerSpec("layer", self.op, names)])

    @property
    def kernel(self) -> GemmKernel:
        """What it computes."""
        kernel = kernel_of(self.network.layers[0], self.batch)
        assert isinstance(kernel, GemmKernel)
        return kernel


@dataclass(frozen=True, slots=True)
class Case:
    """A layer on a machine; `name` says how it was drawn."""

    layer: LayerCase
    hardware: Hardware
    name: str

    def __str__(self) -> str:
        return f"[{self.name}] {shown(self.layer)} on {described(self.hardware)}"


def shown(layer: LayerCase) -> str:
    """A layer in one line: what differs from the defaults of its type."""
    told = {item.name: getattr(layer.op, item.name) for item in fields(layer.op)}
    plain = {item.name: item.default for item in fields(layer.op)} | {"bias": False}
    words = ", ".join(f"{key}={value}" for key, value in told.items() if plain[key] != value)
    return f"{layer.op.name}({words}) of {' x '.join(map(str, layer.inputs))}, batch {layer.batch}"


def described(hardware: Hardware) -> str:
    """A machine in one line: what differs from the defaults of the schema."""
    array = hardware.array.model_dump(exclude_defaults=True)
    side = f"{array.pop('rows')}x{array.pop('cols')} {array.pop('dataflow')}"
    buffers = ", ".join(
        f"{'+'.join(each.holds)} {each.size} B"
        + (
            f" at {float(rate):g} B/cycle"
            if (rate := hardware.buffer_bytes_per_cycle(name))
            else ""
        )
        for name, each in hardware.buffers.items()
    )
    words = "/".join(str(hardware.precision.bytes_of(operand)) for operand in OPERANDS)
    dram = hardware.dram.timing.standard if hardware.dram.timing else "DRAM"
    return (
        f"{side} {array}, words of {words} B, {buffers}, {dram} "
        f"{float(hardware.dram_bytes_per_cycle):.4g} B/cycle, latency "
        f"{hardware.dram_latency_cycles}, burst {hardware.dram_burst}, "
        f"{hardware.clock // 10**6} MHz"
    )


# --- Sizes ----------------------------------------------------------------------------------------


def log_uniform(rng: Generator, low: int, high: int) -> int:
    """A whole number from `low` to `high`, every scale as likely."""
    return min(int(np.exp(rng.uniform(np.log(low), np.log(high + 1)))), high)


def size(rng: Generator, high: int, low: int = 1) -> int:
    """A size that somebody might write: any, a power of two or a multiple of eight, or one off."""
    drawn, kind = log_uniform(rng, low, high), rng.integers(4)
    if kind < 2:
        return drawn
    round_one = 1 << (drawn.bit_length() - 1) if drawn < 16 or kind == 2 else drawn // 8 * 8
    return int(np.clip(round_one + rng.choice([-1, 0, 0, 1]), low, high))


def chance(rng: Generator, share: float) -> bool:
    """True in `share` of the draws."""
    return bool(rng.random() < share)


# --- Layers ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reach:
    """How far sizes go: the sides of maps and windows, channels, rows of a matrix, images."""

    side: int
    channels: int
    rows: int
    batch: int


MID = Reach(side=28, channels=96, rows=4096, batch=4)
LARGE = Reach(side=224, channels=1024, rows=2**20, batch=64)


def _images(rng: Generator, reach: Reach) -> int:
    return 1 if chance(rng, 0.6) else size(rng, reach.batch)


def _conv(
    rng: Generator, reach: Reach, kernel: tuple[int, int], channels: int, groups: int = 1
) -> LayerCase:
    """A convolution of a window over `channels` of each group, with any stride and padding."""
    stride = (1, 1) if chance(rng, 0.6) else tuple(int(rng.integers(1, 4)) for _ in kernel)
    dilation = (1, 1) if chance(rng, 0.8) else tuple(int(rng.integers(1, 4)) for _ in kernel)
    extent = [(side - 1) * each + 1 for side, each in zip(kernel, dilation, strict=True)]
    pads = [0, 0, 0, 0]
    if chance(rng, 0.6):
        pads = [int(rng.integers(0, extent[axis // 2] // 2 + 1)) for axis in range(4)]
    down, across = size(rng, reach.side), size(rng, reach.side)
    maps = (down, down if chance(rng, 0.6) else across)
    sides = [
        max(maps[axis], extent[axis] - pads[2 * axis] - pads[2 * axis + 1], 1) for axis in range(2)
    ]
    op = Conv(
        out_channels=groups * size(rng, reach.channels if groups == 1 else 4),
        kernel=kernel,
        stride=(stride[0], stride[1]),
        dilation=(dilation[0], dilation[1]),
        padding=(pads[0], pads[1], pads[2], pads[3]),
        groups=groups,
        bias=False,
    )
    return LayerCase(op, ((groups * channels, *sides),), _images(rng, reach))


def square(rng: Generator, reach: Reach) -> LayerCase:
    side = int(rng.choice([1, 1, 3, 3, 3, 5]))
    return _conv(rng, reach, (side, side), size(rng, reach.channels))


def first_layer(rng: Generator, reach: Reach) -> LayerCase:
    side = int(rng.choice([7, 7, 11]))
    return _conv(rng, reach, (side, side), 3)


def in_groups(rng: Generator, reach: Reach) -> LayerCase:
    side = int(rng.choice([1, 3, 5]))
    groups, channels = size(rng, reach.channels, 2), int(rng.choice([1, 1, 2, 4]))
    return _conv(rng, reach, (side, side), channels, groups)


def depthwise(rng: Generator, reach: Reach) -> LayerCase:
    return _conv(rng, reach, (3, 3), 1, size(rng, reach.channels, 2))


def long_window(rng: Generator, reach: Reach) -> LayerCase:
    """1 x N or N x 1, as a GEMM that is written as a convolution, or factored ones."""
    length = size(rng, reach.side * 7, 2)
    kernel = (1, length) if chance(rng, 0.5) else (length, 1)
    return _conv(rng, reach, kernel, size(rng, 8))


def weight_gradient(rng: Generator, reach: Reach) -> LayerCase:
    """The ofmap of a layer as a window over its ifmap: the R x S places are the pixels."""
    taps, places = size(rng, reach.side, 4), int(rng.choice([1, 3, 3, 5]))
    sides = (taps + places - 1,) * 2
    op = Conv(out_channels=size(rng, reach.channels), kernel=(taps, taps), bias=False)
    return LayerCase(op, ((size(rng, 16), *sides),), _images(rng, reach))


def matrix(rng: Generator, reach: Reach) -> LayerCase:
    """A GEMM: rows of a matrix, or images of a vector."""
    features, inner = size(rng, reach.channels * 4), size(rng, reach.channels * 4)
    op = Dense(out_features=features, bias=False)
    if chance(rng, 0.2):
        return LayerCase(op, ((inner,),), _images(rng, reach))
    return LayerCase(op, ((size(rng, reach.rows), inner),), _images(rng, reach))


def product_of_two(rng: Generator, reach: Reach) -> LayerCase:
    """A matmul, whose filter is computed."""
    m, n, k = (size(rng, reach.side * 8) for _ in range(3))
    return LayerCase(MatMul(), ((m, k), (k, n)), _images(rng, reach))


LAYERS: tuple[Callable[[Generator, Reach], LayerCase], ...] = (
    *(square, square, square, first_layer, in_groups, depthwise, long_window, weight_gradient),
    *(matrix, matrix, product_of_two),
)


# --- Machines -------------------------------------------------------------------------------------

WORDS = (
    *({}, {}, {}),  # int8, int32 psums
    {"ifmap": "int16", "ofmap": "int16"},
    {"ifmap": "int16", "filter": "int16", "psum": "int48", "ofmap": "int16"},
    {"ifmap": "float32", "filter": "float32", "psum": "float32", "ofmap": "float32"},
    {"ifmap": "bfloat16", "filter": "bfloat16", "psum": "float32", "ofmap": "bfloat16"},
)


def _array(rng: Generator) -> dict[str, Any]:
    drawn = {
        "rows": size(rng, 256, 2),
        "cols": size(rng, 256, 2),
        "dataflow": str(rng.choice(["os", "ws", "is"])),
        "fold_overlap": str(rng.choice(["serial", "pipelined"])),
        "edge_folds": str(rng.choice(["full", "used"])),
        "drain": str(rng.choice(["rows", "cols"])),
        "drain_start": str(rng.choice(["lane", "array"])),
        "mac_stages": int(rng.choice([1, 1, 3])),
        "psum_registers": int(rng.choice([1, 1, 2])),
        "count": int(rng.choice([1, 1, 1, 2, 3, 4])),
    }
    reduction = str(rng.choice(["window", "tap"]))  # always drawn: all that follows stays the same
    return drawn | ({"reduction": reduction} if "reduction" in Array.model_fields else {})


def _buffers(rng: Generator) -> dict[str, Any]:
    """One of the layouts, each buffer of 1 KiB to 8 MiB, some of them of limited bandwidth."""
    buffers = {}
    largest = log_uniform(rng, 2 * KIB, 8 * MIB)
    for holds in LAYOUTS[rng.integers(len(LAYOUTS))]:
        buffers["_".join(holds)] = {
            "holds": list(holds),
            "size": f"{log_uniform(rng, max(largest // 32, KIB), largest)} B",
        }
        if chance(rng, 0.3):
            buffers["_".join(holds)]["bandwidth"] = f"{log_uniform(rng, 1, 512)} B/cycle"
    return buffers


def _dram(rng: Generator) -> dict[str, Any]:
    if chance(rng, 0.3):
        standard = str(rng.choice(dram_standards()))
        return {"timing": dram_sheet(standard).model_dump(exclude_none=True)}
    return {
        "bandwidth": f"{log_uniform(rng, 2, 512) / 2} B/cycle",
        "latency": f"{0 if chance(rng, 0.2) else log_uniform(rng, 1, 500)} cycles",
        "burst": f"{int(rng.choice([1, 32, 64]))} B",
    }


def drawn_machine(rng: Generator) -> Hardware:
    """A machine with a systolic array; nothing stays on chip between layers."""
    return Hardware.model_validate(
        {
            "name": "drawn",
            "clock": f"{int(rng.choice([200, 700, 1000, 1500]))} MHz",
            "array": _array(rng),
            "precision": WORDS[rng.integers(len(WORDS))],
            "buffers": _buffers(rng),
            "vector_unit": {"lanes": 16},
            "dram": _dram(rng),
            "residency": "off",
        }
    )


# --- Cases ----------------------------------------------------------------------------------------


def tiling_count(kernel: GemmKernel) -> int:
    """How many tile sizes there are, taps cut too."""
    return math.prod(totals(kernel)) * kernel.taps


def tile_count(kernel: GemmKernel, hardware: Hardware) -> float:
    """About how many tiles are needed at least: what a tile reuses grows as its sides do."""
    room = min(buffer.size for buffer in hardware.buffers.values()) / 2
    return float(kernel.macs / room**1.5)


def mid_case(seed: int, number: int, least: int = 4097, most: int = 100_000) -> Case:
    """A case of which all tilings can be looked at: `least` to `most` of them."""
    for attempt in count():
        rng = np.random.default_rng([seed, number, attempt])
        layer = LAYERS[rng.integers(len(LAYERS))](rng, MID)
        if least <= tiling_count(layer.kernel) <= most:
            return Case(layer, drawn_machine(rng), f"mid seed {seed} number {number}")
    raise AssertionError("an endless loop has ended")


def large_case(seed: int, number: int, most_tiles: float = 3000) -> Case:
    """A case of any size that does not take too long to play."""
    for attempt in count():
        rng = np.random.default_rng([seed, number, attempt, 1])
        layer = LAYERS[rng.integers(len(LAYERS))](rng, LARGE)
        hardware = drawn_machine(rng)
        kernel = layer.kernel
        if 2**16 <= kernel.macs <= 2**36 and tile_count(kernel, hardware) <= most_tiles:
            return Case(layer, hardware, f"large seed {seed} number {number}")
    raise AssertionError("an endless loop has ended")
