"""A run's tiles, loops and plan as a mapping file, which makes the run again."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from accelsim import __version__
from accelsim.results import RunResult
from accelsim.text import visible


def mapping_text(run: RunResult) -> str:
    """A mapping file with all that was decided for each layer of `run`."""
    assert run.mapping is not None
    what = f"{run.network} on {run.hardware}, {run.dataflow}, batch {run.batch}"
    lines = [
        f"# {visible(what)}: {run.cycles:,} cycles with accelsim {__version__}.",
        "# Force it with --mapping; what you leave out is searched, and a name may be a pattern.",
        *_lines(run.mapping),
    ]
    return "\n".join([*lines, ""])


def _lines(mapping: Mapping[str, Any]) -> Iterator[str]:
    """A mapping, or the parts of one as items of a list."""
    if "parts" not in mapping:
        yield from _piece(mapping)
        return
    yield "parts:"
    for part in mapping["parts"]:
        first, *rest = _piece(part)
        yield f"- {first}"
        yield from (f"  {line}" for line in rest)


def _piece(mapping: Mapping[str, Any]) -> Iterator[str]:
    """Key by key; of those that are by layer, a line for each."""
    for key, value in mapping.items():
        if not isinstance(value, Mapping) or not value:
            yield f"{key}: {_flow(value)}"
            continue
        yield f"{key}:"
        yield from (f"  {json.dumps(name)}: {_flow(each)}" for name, each in value.items())


def _flow(value: object) -> str:
    """A value on one line; words are plain, as keys and kinds are, and names of layers quoted."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_flow(each)}' for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(json.dumps, value))}]"
    return str(value)
