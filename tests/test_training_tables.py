"""The figures of training steps in README.md and docs/training.md are what the commands give."""

import json
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from accelsim.cli import app

ROOT = Path(__file__).parents[1]
README, PAGE = ((ROOT / name).read_text() for name in ("README.md", "docs/training.md"))
FLOWS = ("os", "ws", "is")
NETWORKS = ("vgg16", "googlenet")


def printed(command: str) -> str:
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 0, result.output
    return result.stdout


def said(page: str, head: str) -> list[dict[str, list[str]]]:
    """The tables of a page that begin with `head`: rows by their first cell, no cell in bold."""
    found = []
    for text in re.findall(rf"^\| {re.escape(head)}.*\n\|[-|]*\n((?:\|.*\n)+)", page, re.MULTILINE):
        rows = [line.strip("|").split("|") for line in text.replace("**", "").splitlines()]
        found.append({row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows})
    return found


@cache
def compared(network: str) -> dict[str, Any]:
    command = f"compare {network} --hardware edge_ws --train --batch 8 --json -"
    best: dict[str, Any] = json.loads(printed(command))["best"][0]["phases"]
    return best


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_cycles_by_phase_and_dataflow(network: str) -> None:
    (both,), place = said(README, "phase |"), NETWORKS.index(network)
    alone = said(PAGE, "phase |")[place]
    found = compared(network)
    assert list(both) == list(alone) == ["forward", "input gradient", "weight gradient", "update"]
    for phase, cells in alone.items():
        own = found[phase.replace(" ", "_")]["own_cycles"]
        millions = [f"{own[flow] / 1e6:.1f}" for flow in FLOWS]
        assert cells == [*millions, min(FLOWS, key=lambda flow: own[flow])], phase
        assert both[phase][3 * place :][:3] == millions, phase


def test_memory_with_and_without_recomputing() -> None:
    (table,) = said(PAGE, "batch 8, float32 |")
    for name, cells in table.items():
        lines = printed(f"show {name.replace('`', '')} --train --batch 8").splitlines()
        sizes = [
            next((" ".join(line.split()[-2:]) for line in lines if line.startswith(row)), "")
            for row in ("activations kept", "computed again", "total")
        ]
        assert cells == sizes, name
    assert len(table) == 4


@pytest.mark.slow
def test_what_recomputing_takes() -> None:
    with_, without, again = (
        int(each.replace(",", ""))
        for each in re.findall(r"[\d,]{5,}", PAGE.partition("lenet5 on edge_ws at batch 8")[2])[:3]
    )
    step = "train lenet5 edge_ws --batch 8 --json -"
    longer = json.loads(printed(f"{step} --recompute"))
    assert json.loads(printed(step))["totals"]["cycles"] == without
    assert longer["totals"]["cycles"] == with_
    assert longer["phases"]["recompute"]["layer_cycles"] == again
