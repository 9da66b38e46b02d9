"""The node cases that the package onnx ships, as our reference and tiled executor compute them."""

import importlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.backend.test.case import node as shipped
from oracles.onnx_models import computed, saved, wrong_tiles

from accelsim.errors import InputError
from accelsim.frontend.onnx.file import FUNCTIONS
from accelsim.frontend.onnx.rules import RULES

CODES = {
    "QuantizeLinear",
    "DequantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
}
"""Operators whose values are codes; tests of quantized models hold them bit for bit."""


HALF = {"float16", "bfloat16"}
"""Their cases expect what rounding after each step gives; here sums are float32."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case: what its operator is, whether it passed, or why it is refused or wrong."""

    operator: str
    case: str
    passed: bool
    refused: str = ""
    wrong: str = ""


def cases(modules: Sequence[str] = ()) -> list[Any]:
    """Cases of one node whose operator the table has, of some of onnx's modules or of all."""
    if modules:
        for name in modules:
            importlib.import_module(f"onnx.backend.test.case.node.{name}")
        wanted = {name.replace("_", "") for name in modules}
        found = [case for case in shipped._NodeTestCases if _module(case) in wanted]
    else:
        found = shipped.collect_testcases()
    alone = [case for case in found if len(case.model.graph.node) == 1]
    plain = [case for case in alone if _is_plain(case)]
    asked = RULES.keys() - CODES | set(FUNCTIONS)
    return [case for case in plain if case.model.graph.node[0].op_type in asked]


def _is_plain(case: Any) -> bool:
    """Whether it takes and makes arrays, is given numbers only, and not every step is rounded."""
    (given, made), *_ = case.data_sets
    arrays = all(isinstance(each, (np.ndarray, np.generic)) for each in (*given, *made))
    kinds = {each.dtype.kind for each in (*given, *made)} if arrays else {"O"}
    if kinds - set("fiub") or {str(each.dtype) for each in (*given, *made)} & HALF:
        return False
    return all(np.isfinite(each).all() for each in given if each.dtype.kind == "f")


def _module(case: Any) -> str:
    return str(case.model.graph.node[0].op_type).lower()


def outcomes(found: Iterable[Any], tiled: bool = True) -> Iterator[Outcome]:
    """Each case, computed."""
    with tempfile.TemporaryDirectory() as folder:
        for case in found:
            yield _outcome(case, Path(folder), tiled)


def _outcome(case: Any, folder: Path, tiled: bool) -> Outcome:
    """As it is, or else with all inputs but the first as constants, as weights are."""
    operator = case.model.graph.node[0].op_type
    (inputs, expected), *_ = case.data_sets
    names = [each.name for each in case.model.graph.input]
    reasons = []
    for constants in ((), tuple(names[1:])):
        feeds = {n: v for n, v in zip(names, inputs, strict=True) if n not in constants}
        path = saved(_with_constants(case, constants), folder)
        try:
            wrong = _wrong(case, path, feeds, expected, tiled)
        except InputError as error:
            message = error.problems[-1].message
            reasons.append(message.partition(": ")[2] or message)
            continue
        return Outcome(operator, case.name, not wrong, wrong=wrong)
    as_it_is, with_weights = reasons
    wants = ("must be", "batch", "are not known", "no layer stands for this operator")
    for_want_of_weights = any(each in as_it_is for each in wants)
    refused = with_weights if for_want_of_weights else as_it_is
    return Outcome(operator, case.name, passed=False, refused=refused)


def _wrong(case: Any, path: Path, feeds: dict[str, Any], expected: Any, tiled: bool) -> str:
    """What is wrong in any output; "" if nothing is."""
    names = [each.name for each in case.model.graph.output]
    for name, wanted in zip(names, map(np.asarray, expected), strict=True):
        values = computed(path, feeds, outputs=(name,))
        if values.size != wanted.size:
            return f"has {values.size} values, not {wanted.size}"
        close = np.isclose(values.reshape(wanted.shape), wanted, rtol=case.rtol, atol=case.atol)
        if not close.all():
            return f"{np.count_nonzero(~close)} of {close.size} values differ"
    return "; ".join(wrong_tiles(path, feeds)) if tiled else ""


def _with_constants(case: Any, names: Sequence[str]) -> Any:
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    arrays = dict(zip((each.name for each in model.graph.input), case.data_sets[0][0], strict=True))
    for name in names:
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(arrays[name]), name))
    return model
