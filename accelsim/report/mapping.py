"""A run's tiles and loops as a mapping file, which makes the run again."""

import json
from collections.abc import Iterator

from accelsim import __version__
from accelsim.lowering.ranking import plain
from accelsim.results import RunResult
from accelsim.text import visible


def mapping_text(run: RunResult) -> str:
    """A mapping file with everything that each layer of `run` was given."""
    return "\n".join([*_lines(run), ""])


def _lines(run: RunResult) -> Iterator[str]:
    what = f"{run.network} on {run.hardware}, {run.dataflow}, batch {run.batch}"
    yield f"# {visible(what)}: {run.cycles:,} cycles with accelsim {__version__}."
    yield "# Force it with --mapping; what you leave out is searched, and a name may be a pattern."
    yield "layers:"
    for layer in run.layers:
        if layer.tiling is not None:
            parts = ", ".join(f"{key}: {value}" for key, value in plain(layer.tiling).items())
            yield f"  {json.dumps(layer.name)}: {{{parts}}}"
