"""What of a model our layers can express: operators, how often, their share of MACs, and why."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from accelsim.errors import Coverage, Problem, UncoveredError
from accelsim.frontend.onnx.constants import Constant
from accelsim.frontend.onnx.file import ModelFile
from accelsim.frontend.onnx.graph import DATA_DEPENDENT, Node, Value
from accelsim.frontend.onnx.inference import OF_GRAPHS
from accelsim.frontend.onnx.spelling import WHY_NOT

_WINDOWED = ("Conv", "ConvInteger", "QLinearConv")
WHY = "why_refused"
"""The attribute in which a frontend says why a node is refused."""
_RECURRENT = ("RNN", "GRU", "LSTM")
_UNCOUNTED = (
    "Einsum",
    "Attention",
    "MultiHeadAttention",
    "GroupQueryAttention",
    "QAttention",
    "QGemm",
    "MatMulNBits",
)
"""Operators of many forms that multiply, of which `macs_of` knows nothing."""
_OWN = ("", "ai.onnx", "com.microsoft")
"""Domains whose operators either multiply as is told here, or do not."""
_WEIGHT_AT = {"QLinearConv": 3, "QLinearMatMul": 3}


@dataclass(frozen=True, slots=True)
class Verdict:
    """A node, and why no layers stand for it; "" if some do."""

    node: Node
    reason: str = ""


def uncovered(
    file: ModelFile, verdicts: Sequence[Verdict], cut: str, bound: str, images: int
) -> UncoveredError:
    """The error of a model with nodes that no layers stand for.

    `cut` are the options that take it up to there, "" if nothing is left; `bound` says why these
    nodes cannot be free, "" if they can. `images` is how many the file says there are at a time.
    """
    rows = coverage(verdicts)
    bad = [row for row in rows if row.refused]
    refused = sum(row.refused for row in bad)
    nodes = sum(row.nodes for row in rows)
    before = f"what lies before runs with {cut}" if cut else "nothing before them runs by itself"
    free = f"they cannot be free: {bound}" if bound else "--unsupported free takes them as free"
    head = (
        f"{refused:,} of {nodes:,} nodes cannot be simulated; {before}; {free}; see docs/onnx.md "
        "for what is known"
    )
    if images > 1 and any(WHY in verdict.node.attributes for verdict in verdicts):
        head += f"; the file says {images} images at a time: exported with one it may be known"
    problems = [Problem(message=told(row), source=str(file.path), key=row.operator) for row in bad]
    return UncoveredError([Problem(message=head, source=str(file.path)), *problems], rows)


def why_not_free(verdicts: Iterable[Verdict]) -> str:
    """Why refused nodes cannot be taken as free: what they make has no shape; "" if they can."""
    for node in (verdict.node for verdict in verdicts if verdict.reason):
        for value in node.outputs:
            if value.name and value.shape is None:
                return f"the shape of {value.name!r} is not known{_remedy(node)}"
        if WHY in node.attributes:
            return f"the batch in what {node.name!r} makes is not known"
    return ""


def _remedy(node: Node) -> str:
    """What gives an output a shape: nothing where values tell it."""
    if node.op in DATA_DEPENDENT and node.op not in OF_GRAPHS:
        return ", as values tell it"
    return "; declare it in the file (value_info)"


def told(row: Coverage) -> str:
    """What of an operator is refused, and why."""
    nodes = f"{row.refused:,} of {row.nodes:,} node{'s' * (row.nodes > 1)}"
    return f"{nodes}, {row.told_share} of the MACs; {row.first}: {row.reason}"


def coverage(verdicts: Iterable[Verdict]) -> list[Coverage]:
    """A row for each operator, in the order in which the model first uses them."""
    groups: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        node = verdict.node
        name = f"{node.domain}.{node.op}" if node.domain else node.op
        groups.setdefault(name, []).append(verdict)
    total = sum(macs_of(each.node) for group in groups.values() for each in group)
    rows = []
    for operator, group in groups.items():
        bad = [each for each in group if each.reason]
        macs = sum(macs_of(each.node) for each in group)
        rows.append(
            Coverage(
                operator=operator,
                nodes=len(group),
                refused=len(bad),
                macs=macs,
                share=macs / total if total else 0.0,
                reason=bad[0].reason if bad else "",
                first=bad[0].node.name if bad else "",
                counted=all(is_counted(each.node) for each in group),
            )
        )
    return rows


def macs_of(node: Node) -> int:
    """Multiply-accumulates of a node, as its shapes say; 0 where they do not."""
    at = _WEIGHT_AT.get(node.op, 1)
    output = node.outputs[0].shape if node.outputs else None
    operands = [each for each in (*node.inputs[:1], *node.inputs[at : at + 1]) if each]
    shapes = [each.shape for each in operands]
    if output is None or len(shapes) < 2 or None in shapes:
        return 0
    x, weight = (tuple(shape or ()) for shape in shapes)
    if node.op in _WINDOWED:
        return math.prod(output) * math.prod(weight[1:])
    if node.op == "ConvTranspose":
        return math.prod(x) * math.prod(weight[1:])
    if node.op in ("MatMul", "FusedMatMul", "MatMulInteger", "QLinearMatMul"):
        return math.prod(output) * (x[-1] if x else 1)
    if node.op == "Gemm":
        return math.prod(output) * (x[0] if node.attributes.get("transA") else x[-1])
    if node.op in _RECURRENT:
        return math.prod(x[:2]) * sum(
            math.prod(each.shape or ()) for each in node.inputs[1:3] if each
        )
    return 0


def is_counted(node: Node) -> bool:
    """Whether `macs_of` says of a node what it multiplies, or that it does not."""
    return node.op not in _UNCOUNTED and node.domain in _OWN


def why_unknown(node: Node, listed: bool = False) -> str:
    """Why an operator that the table does not have, or has `listed`, is refused."""
    if node.op in DATA_DEPENDENT:
        return "what it does depends on values"
    for said in (WHY, WHY_NOT):
        if node.attributes.get(said):
            return str(node.attributes[said])
    for each in node.inputs:
        if isinstance(each, Value) and each.shape is None:
            return f"it reads {each.name!r}, whose shape is not known"
    if listed:
        return f"the shape of {node.outputs[0].name!r} is not known"
    kinds = ", ".join(
        f"{'constant ' * isinstance(each, Constant)}{list(each.shape or ())}"
        for each in node.inputs
        if each
    )
    return f"no layer stands for this operator (inputs {kinds})"
