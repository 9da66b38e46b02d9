"""The node cases and whole networks that the package onnx ships, as tables for docs/onnx.md.

    python benchmarks/onnx_conformance.py docs/onnx.md

Writes what stands between the two marks of the file. Making all cases takes onnx about half a
minute.
"""

import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

MOST_MACS = 5 * 10**8
"""Larger networks' values take minutes by tiles, and are not computed."""
BEGIN, END = "<!-- conformance -->", "<!-- /conformance -->"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from oracles.onnx_conformance import Outcome, cases, outcomes  # noqa: E402


def case_table(found: Iterable[Outcome]) -> Iterator[str]:
    """A row for each operator."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in found:
        groups.setdefault(outcome.operator, []).append(outcome)
    every = [outcome for group in groups.values() for outcome in group]
    yield "| operator | cases | passed | refused | wrong | why refused |"
    yield "|---|---|---|---|---|---|"
    for operator in sorted(groups):
        yield _row(operator, groups[operator], reasons=True)
    yield _row("all", every, reasons=False)


def _row(name: str, group: list[Outcome], reasons: bool) -> str:
    refused = [outcome.refused for outcome in group if outcome.refused]
    counts = (
        len(group),
        sum(outcome.passed for outcome in group),
        len(refused),
        sum(bool(outcome.wrong) for outcome in group),
    )
    why = "; ".join(dict.fromkeys(refused)) if reasons else ""
    return f"| {name} | {' | '.join(map(str, counts))} | {why.replace('|', '/')} |"


def network_table() -> Iterator[str]:
    """A row for each network: what it is, how long it takes, and whether its values are right."""
    import onnx

    from accelsim.facade import simulate, verify
    from accelsim.frontend import load_network

    yield "| network | layers | parameters | MACs | cycles | utilization | values |"
    yield "|---|---|---|---|---|---|---|"
    folder = Path(onnx.__file__).parent / "backend/test/data/light"
    for path in sorted(folder.glob("*.onnx")):
        network = load_network(path)
        totals = simulate(network, "edge_ws").totals
        check = verify(network, "edge_ws") if network.macs < MOST_MACS else None
        counts = (len(network.layers), network.parameters, network.macs, totals["cycles"])
        numbers = " | ".join(f"{count:,}" for count in counts)
        right = "not run" if check is None else "equal" if check.passed else "WRONG"
        yield f"| {network.name} | {numbers} | {totals['utilization']:.1%} | {right} |"


def main(path: Path) -> None:
    """Renew the tables of a file."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = [
        BEGIN,
        f"Node cases of onnx {version('onnx')}, float32, reference and tiles (those in 16 bits,",
        "whose every step rounds, and those that are given infinities are left out):",
        "",
        *case_table(outcomes(cases())),
        "",
        "Whole networks that it ships, on edge_ws with its own dataflow, one image, int8 codes:",
        "",
        *network_table(),
        END,
    ]
    path.write_text(before + "\n".join(lines) + after, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
