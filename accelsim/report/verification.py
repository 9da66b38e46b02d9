"""What `accelsim verify` prints: each layer's values held against the reference."""

from accelsim.report.sheet import Column, Row, Sheet
from accelsim.results import LayerCheck, VerifyResult

_COLUMNS = (
    Column("layer", text=True),
    Column("op", drop=2, text=True),
    Column("elements"),
    Column("mismatches"),
    Column("largest difference", drop=1),
    Column("overflows"),
    Column("result", text=True),
)


def verify_sheets(result: VerifyResult) -> list[Sheet]:
    """Everything `verify` prints."""
    title = (
        f"{result.network} on {result.hardware}, {result.dataflow}, batch {result.batch}: "
        f"values of the tiled schedule against the reference"
    )
    rows = tuple(_layer(layer, result.exact) for layer in result.layers)
    total = ("total", "", f"{result.elements:,}", f"{result.mismatches:,}")
    overflows = sum(layer.overflows for layer in result.layers)
    verdict = "pass" if result.passed else "FAIL"
    totals = Row((*total, "", f"{overflows:,}", verdict), style="bold")
    return [Sheet(title, _COLUMNS, rows, (totals,), tuple(_notes(result)))]


def _layer(layer: LayerCheck, exact: bool) -> Row:
    largest = f"{layer.largest_difference:,.0f}" if exact else f"{layer.largest_difference:.3g}"
    cells = (
        layer.name,
        layer.op,
        f"{layer.elements:,}",
        f"{layer.mismatches:,}",
        largest,
        f"{layer.overflows:,}",
        "pass" if layer.passed else "FAIL",
    )
    return Row(cells, style="" if layer.passed else "bold red")


def _notes(result: VerifyResult) -> list[str]:
    failed = [layer.name for layer in result.layers if layer.mismatches]
    rule = "equal" if result.exact else "equal up to the rounding of their sums"
    if failed:
        verdict = f"FAIL: {result.mismatches:,} elements are not {rule}, in {', '.join(failed)}."
    else:
        verdict = f"All {result.elements:,} elements are {rule}."
    notes = [verdict, f"Formats {result.formats}, seed {result.seed}."]
    timed = [problem for layer in result.layers for problem in layer.problems]
    if timed:
        notes.append("FAIL: what is timed is not what is computed.")
        notes += timed
    if any(layer.overflows for layer in result.layers):
        notes.append("overflows: psums that the accumulator could not hold, as in the reference.")
    return notes
