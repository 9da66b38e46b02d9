"""Dataflows and arrays are rows of tables: a new one is a row in each, and nothing else asks."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from accelsim.hardware import BEST, DATAFLOWS, SYSTOLIC, DataflowName
from accelsim.lowering.contenders import KINDS
from accelsim.lowering.forced import FORCED
from accelsim.lowering.laws import DATAFLOW_OF
from accelsim.lowering.ranking import Tiling
from accelsim.lowering.search import SEARCHES
from accelsim.lowering.target import ARRAYS, MODELS
from accelsim.lowering.units import UNITS
from accelsim.report.description import FOLDS
from accelsim.results.sram_trace import TRACED

PACKAGE = Path(__file__).parents[2] / "accelsim"
ROWS = ("hardware/quantities.py", "lowering/laws.py", "frontend/scalesim_cfg.py")
"""The rows themselves, and the names of another tool."""

QUESTIONS = re.compile(
    r"""["'](?:os|ws|is|rs)["']"""
    r"""|isinstance\([^)]*\b(?:ArrayModel|RowStationary|Systolic)\b"""
    r"""|\btype\([^)]*(?:processor|array)\) (?:is|==|!=|in) """
    r"""|\.(?:rows|cols|time) (?:==|!=|in) ["'(]"""
)
"""A dataflow by its name, an array by its class, or where an axis lies."""


def test_every_dataflow_has_a_model_and_every_systolic_one_a_law() -> None:
    named = {name for part in get_args(DataflowName) for name in get_args(part)}
    assert named - {BEST} == {*DATAFLOWS} == {*MODELS}
    assert {*SYSTOLIC} == {*DATAFLOW_OF}


def test_every_array_and_every_kind_of_tiling_is_in_each_table() -> None:
    for table in (SEARCHES, FORCED, FOLDS):
        assert {*table} == {*ARRAYS}
    assert {*TRACED} == {*ARRAYS, type(None)}  # on a vector unit there is no array
    for kinds in (UNITS, KINDS):
        assert {*kinds} == {*get_args(Tiling), type(None)}


def asked(text: str) -> Iterator[str]:
    """Lines that ask which dataflow or which array it is."""
    yield from (line.strip() for line in text.splitlines() if QUESTIONS.search(line))


def test_nothing_but_the_rows_asks_which_dataflow_or_array_it_is() -> None:
    for path in sorted(PACKAGE.rglob("*.py")):
        name = str(path.relative_to(PACKAGE))
        if name not in ROWS and not name.startswith("validation/"):  # what references ran
            assert [*asked(path.read_text(encoding="utf-8"))] == [], name


@pytest.mark.parametrize(
    "line",
    [
        'single = hardware.array.dataflow != "rs"',
        'moving = array.psum_registers if array.dataflow in ("ws", "is") else 1',
        "rows = isinstance(self.target.processor, RowStationary)",
        "if type(target.processor) is kind:",
        'if array.dataflow.time != "m":',
    ],
)
def test_such_questions_are_found(line: str) -> None:
    assert [*asked(line)] == [line]
