"""The timeline that zooms from the whole run to one tile; what a script draws is here as data."""

import json
from collections.abc import Iterator, Mapping

from accelsim.report.page.markup import Html, tag
from accelsim.report.page.recorded import RunRecord
from accelsim.results.tiles import Tiles
from accelsim.text import visible


def tiled(run: RunRecord, tiles: Tiles, label: str, colors: Mapping[str, int]) -> Iterator[Html]:
    """A canvas, what is told of the slice pointed at, and the slices in view as a table."""
    said = f"{label}: DRAM port, arrays, vector units and the room in buffers over time"
    canvas = tag(
        *("canvas", f"{said}. What is in view is in the table below."),
        role="img",
        aria_label=said,
        tabindex=0,
    )
    told = tag("p", "Point at a slice, or press n and p for the next tile and the one before.")
    seen = tag("details", tag("summary", "In view, as a table"), tag("div", class_="scroll"))
    yield tag("div", canvas, told, seen, _data(run, tiles, colors), class_="tiles")


def _data(run: RunRecord, tiles: Tiles, colors: Mapping[str, int]) -> Html:
    data = {
        "cycles": run.totals.cycles,
        "hertz": run.clock_hz,
        "layers": [
            [visible(layer.name), layer.start_cycle, layer.end_cycle, colors.get(layer.bound, 6)]
            for layer in run.layers
        ],
        **tiles.as_dict(),
    }
    return tag("pre", json.dumps(data, separators=(",", ":")), hidden="hidden", class_="data")
