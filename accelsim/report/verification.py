"""What `accelsim verify` prints: each layer's values held against the reference."""

from accelsim.report.quantities import NONE
from accelsim.report.sheet import Column, Row, Sheet
from accelsim.results import LayerCheck, VerifyResult
from accelsim.results.values import Spread

_COLUMNS = (
    Column("layer", text=True),
    Column("op", drop=2, text=True),
    Column("elements"),
    Column("mismatches"),
    Column("largest difference", drop=3),
    Column("overflows"),
    Column("least", drop=1),
    Column("most", drop=1),
    Column("zeros %", drop=1),
    Column("saturated %", drop=1),
    Column("result", text=True),
)


def verify_sheets(result: VerifyResult, every_layer: bool = False) -> list[Sheet]:
    """What `verify` prints: a line, the layers that failed and what to know, or every layer."""
    title = (
        f"{result.network} on {result.hardware}, {result.dataflow}, batch {result.batch}: "
        f"values of the tiled schedule against the reference"
    )
    if result.passed and not every_layer:
        return [Sheet(title=title, notes=tuple(_notes(result)))]
    shown = [layer for layer in result.layers if every_layer or not layer.passed]
    rows = tuple(_layer(layer, result.exact) for layer in shown)
    total = ("total", "", f"{result.elements:,}", f"{result.mismatches:,}")
    overflows = sum(layer.overflows for layer in result.layers)
    verdict = "pass" if result.passed else "FAIL"
    totals = Row((*total, "", f"{overflows:,}", "", "", "", "", verdict), style="bold")
    return [
        Sheet(
            title=title, columns=_COLUMNS, rows=rows, totals=(totals,), notes=tuple(_notes(result))
        )
    ]


def _layer(layer: LayerCheck, exact: bool) -> Row:
    largest = f"{layer.largest_difference:,.0f}" if exact else f"{layer.largest_difference:.3g}"
    cells = (
        layer.name,
        layer.op,
        f"{layer.elements:,}",
        f"{layer.mismatches:,}",
        largest,
        f"{layer.overflows:,}",
        *spread_cells(layer.spread, exact),
        "pass" if layer.passed else "FAIL",
    )
    return Row(cells, style="" if layer.passed else "bold red")


def spread_cells(spread: Spread | None, exact: bool) -> tuple[str, ...]:
    """Least, most, and the shares of zeros and of saturated codes in percent."""
    if spread is None:
        return (NONE,) * 4
    ends = (f"{each:,.0f}" if exact else f"{each:.4g}" for each in (spread.least, spread.most))
    return (*ends, f"{100 * spread.zeros:.1f}", f"{100 * spread.saturated:.1f}")


def _notes(result: VerifyResult) -> list[str]:
    failed = [layer.name for layer in result.layers if layer.mismatches]
    rule = "equal" if result.exact else "equal up to the rounding of their sums"
    if failed:
        verdict = f"FAIL: {result.mismatches:,} elements are not {rule}, in {', '.join(failed)}."
    else:
        verdict = f"All {result.elements:,} elements are {rule}."
    notes = [verdict, f"Formats {result.formats}, seed {result.seed}."]
    if result.calibration is not None:
        notes.append(str(result.calibration))
    if result.accuracy is not None:
        right, images = result.accuracy.right, result.accuracy.images
        notes.append(
            f"Accuracy: {right:,} of {images:,} labelled images, {100 * right / images:.1f} %."
        )
    timed = [problem for layer in result.layers for problem in layer.problems]
    if timed:
        notes.append("FAIL: what is timed is not what is computed.")
        notes += timed
    flat = [
        layer.name
        for layer in result.layers
        if layer.elements > 1 and layer.spread is not None and layer.spread.is_flat
    ]
    overflowed = any(layer.overflows for layer in result.layers)
    if flat:
        cause = (
            "Psums that overflow do that."
            if overflowed
            else "Give a <layer>.output_scale that suits its values."
        )
        notes.append(
            f"hint: all values of {', '.join(flat)} are the same: that they are equal proves "
            f"little. {cause}"
        )
    if overflowed:
        notes.append(
            "overflows: psums that the accumulator could not hold, as in the reference; "
            "--set precision.psum=int48 holds the most."
        )
    return notes
