"""Training steps of networks of all layer types: by tiles, and against finite differences."""

from typing import Any

import numpy as np
import pytest
from drawing import drawn
from drawn_networks import Draw, drawn_network, every_type, types_of
from hypothesis import given
from hypothesis import strategies as st
from machines import spads_setting
from test_gradients import Trained
from test_tiled import FLOAT, verified

from accelsim.errors import DoesNotFitError
from accelsim.facade import simulate
from accelsim.frontend.hardware_file import load_hardware
from accelsim.hardware import DATAFLOWS
from accelsim.lowering.lower import lower
from accelsim.lowering.program import Program
from accelsim.network.backward import REFUSED, training_step
from accelsim.network.ops import OPS
from accelsim.network.ops.gradients import ConvWeightGradient, DenseWeightGradient

SEEDS = st.integers(0, 2**32 - 1)
SIZES = ("1 KiB", "2 KiB", "8 KiB")
AMPLE = "32 KiB"
"""Where the smallest tile of a drawn layer does not fit in less."""
BUFFERS = (
    "{{a: {{holds: [ifmap], size: {0}}}, b: {{holds: [filter], size: {0}}},"
    " c: {{holds: [psum, ofmap], size: {0}}}}}",
    "{{a: {{holds: [ifmap, filter, psum, ofmap], size: {0}}}}}",
    "{{a: {{holds: [ifmap, ofmap], size: {0}}}, b: {{holds: [filter], size: {0}}},"
    " c: {{holds: [psum], size: {0}}}}}",
)


def machine(draw: Draw) -> list[str]:
    """Settings of a small machine that computes in floats."""
    flow = draw.one(*DATAFLOWS)
    return [
        *FLOAT,
        *([spads_setting()] if flow == "rs" else []),
        f"array.dataflow={flow}",
        *(f"array.{side}={draw.number(1, 5)}" for side in ("rows", "cols")),
        f"array.count={draw.one(1, 1, 2, 3)}",
        f"array.fold_overlap={draw.one('serial', 'pipelined')}",
        f"array.reduction={draw.one('window', 'tap')}",
        f"vector_unit.lanes={draw.number(1, 4)}",
        f"residency={draw.one('on', 'off')}",
        f"fused={draw.one('[]', '[activation, add, pool]')}",
        f"depthwise={draw.one('array', 'vector', 'best')}",
    ]


def choices(draw: Draw) -> dict[str, Any]:
    """Of a training step."""
    return {
        "loss": draw.one("squared_error", "cross_entropy"),
        "optimizer": draw.one("sgd", "momentum", "adam"),
        "recompute": draw.often(0.3),
    }


@pytest.mark.slow
@given(SEEDS)
@drawn(60)
def test_tiles_of_a_drawn_step_equal_the_reference(seed: int) -> None:
    draw = Draw(np.random.default_rng((seed, 1)))
    step, batch = training_step(drawn_network(seed), **choices(draw)), draw.number(1, 3)
    settings, buffers = machine(draw), draw.one(*BUFFERS)

    def lowered(size: str) -> Program:
        held = f"buffers={buffers.format(size)}"
        return lower(step, load_hardware("edge_ws", [*settings, held]), batch)

    try:
        program = lowered(draw.one(*SIZES))
    except DoesNotFitError:
        program = lowered(AMPLE)
    assert [check for check in verified(program, seed) if not check.passed] == []


@pytest.mark.slow
@given(SEEDS)
@drawn(40)
def test_phases_of_a_drawn_step_add_up_to_the_whole(seed: int) -> None:
    """Products, too: each weight's gradient takes those of the forward pass."""
    draw = Draw(np.random.default_rng((seed, 2)))
    step, batch = training_step(drawn_network(seed), **choices(draw)), draw.number(1, 3)
    held = f"buffers={draw.one(*BUFFERS).format(AMPLE)}"
    run = simulate(step, load_hardware("edge_ws", [*machine(draw), held]), batch=batch)
    parts = [part.totals for part in run.phases.values()]
    for name in ("layer_cycles", "macs", "dram_read_bytes", "dram_write_bytes", "array_cycles"):
        assert sum(part[name] for part in parts) == run.totals[name]
    assert all(layer.buckets.total == layer.cycles for layer in run.layers)
    found = zip(run.layers, step.layers, strict=True)
    assert all(
        (took.macs, took.zero_macs) == (batch * layer.macs, batch * layer.zero_macs)
        for took, layer in found
    )
    for layer in step.layers:
        if isinstance(layer.op, (ConvWeightGradient, DenseWeightGradient)):
            forward = step.by_name.get(layer.name.partition("@")[0])
            assert forward is None or layer.macs == forward.macs


@given(SEEDS)
@drawn(160)
def test_gradients_of_drawn_networks_are_finite_differences(seed: int) -> None:
    loss = "cross_entropy" if seed % 2 else "squared_error"
    trained = Trained.of(drawn_network(seed), loss, seed)  # type: ignore[arg-type]
    trained.check_along(np.random.default_rng(seed))


def test_every_layer_type_is_drawn() -> None:
    found = {name for seed in range(150) for name in types_of(drawn_network(seed))}
    assert found == every_type() == set(OPS) - {op.name for op in REFUSED}
