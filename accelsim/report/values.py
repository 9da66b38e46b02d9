"""What `accelsim compute` prints: each layer's values in a few numbers, and some of them whole."""

from collections.abc import Iterable

import numpy as np

from accelsim.computing import LayerValues, Values
from accelsim.report.sheet import Column, Row, Sheet
from accelsim.report.verification import spread_cells

_WIDTH = 78
_SHOWN = 200
_COLUMNS = (
    Column("layer", text=True),
    Column("op", drop=1, text=True),
    Column("ofmap", text=True),
    Column("least"),
    Column("most"),
    Column("zeros %", drop=2),
    Column("saturated %", drop=2),
    Column("mean", drop=3),
    Column("scale", drop=4),
)


def values_sheets(values: Values, shown: Iterable[str] = ()) -> list[Sheet]:
    """The table of all layers, then the ofmaps, or outputs of a model, `shown`."""
    whose = f"tiles of {values.hardware}" if values.hardware else "the reference"
    title = f"{values.network}, batch {values.batch}: values by {whose}"
    rows = tuple(_row(layer, values.exact) for layer in values.layers)
    notes = [f"Formats {values.formats}, seed {values.seed}."]
    if values.exact:
        notes.append("A value stands for scale x (value - zero point).")
    if values.calibration is not None:
        notes.append(str(values.calibration))
    table = Sheet(title=title, columns=_COLUMNS, rows=rows, notes=tuple(notes))
    return [table, *(_ofmap(values, name) for name in shown)]


def _row(layer: LayerValues, exact: bool) -> Row:
    least, most, zeros, saturated = spread_cells(layer.spread, exact)
    shape = " x ".join(map(str, layer.shape))
    mean, scale = f"{layer.spread.mean:.4g}", f"{layer.scale:.4g}"
    return Row((layer.name, layer.op, shape, least, most, zeros, saturated, mean, scale))


def _ofmap(values: Values, name: str) -> Sheet:
    """An ofmap, the middle of long axes left out."""
    array = values.outputs[name] if name in values.outputs else values.ofmaps[name]
    text = np.array2string(array, max_line_width=_WIDTH, threshold=_SHOWN, edgeitems=3, precision=5)
    shape = " x ".join(map(str, array.shape))
    return Sheet(title=f"{name}: {shape}, {array.dtype}", notes=tuple(text.splitlines()))
