"""The page itself: one file that opens from disk, without a request to anywhere."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib.resources import files
from typing import Any

from accelsim.report.page.group import Group
from accelsim.report.page.markup import Html, joined, tag
from accelsim.report.page.recorded import MadeBy, RunRecord
from accelsim.report.page.sections import sections
from accelsim.report.page.tables import Cell, folded, table
from accelsim.results.tiles import Tiles
from accelsim.written import clock


def page(runs: Sequence[RunRecord], tiles: Sequence[Tiles | None] = ()) -> str:
    """An HTML page of runs; those of one network are side by side. `tiles` are of each run."""
    from accelsim import __version__

    drawn = tiles or (None,) * len(runs)
    groups = _groups(runs, drawn)
    title = _title(runs)
    body: list[Html] = [_header(title, runs)]
    for group in groups:
        if len(groups) > 1:
            body.append(tag("h2", group.network))
        body += sections(group)
    body += _origins(runs)
    body.append(
        tag("footer", f"Made by accelsim {__version__}. This file asks nothing of any network.")
    )
    scripts = ("page.js", "tiles.js") if any(drawn) else ("page.js",)
    return document(title, joined(body), scripts)


def document(title: str, body: Html, scripts: Sequence[str] = ("page.js",)) -> str:
    """The whole file. Its policy allows its styles, and one script that is known by its hash."""
    here = files("accelsim.report.page")
    style = here.joinpath("page.css").read_text("utf-8")
    script = "".join(here.joinpath(name).read_text("utf-8") for name in scripts)
    known = b64encode(sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{known}'"
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(style)),
    ]
    inside = (tag("head", joined(head)), tag("body", body, tag("script", Html(script))))
    return f"<!DOCTYPE html>\n{tag('html', *inside, lang='en')}\n"


def _header(title: str, runs: Sequence[RunRecord]) -> Html:
    batches = sorted({run.batch for run in runs})
    clocks = sorted({run.clock_hz for run in runs})
    about = f"batch {', '.join(map(str, batches))}; {', '.join(map(clock, clocks))}"
    return heading(title, about)


def heading(title: str, about: str) -> Html:
    """The top of a page, with the switch between light and dark."""
    words = tag("div", tag("h1", title), tag("p", about, class_="soft"))
    button = tag("button", "light / dark", id="theme", type="button")
    return tag("header", words, button)


def _title(runs: Sequence[RunRecord]) -> str:
    """`googlenet on edge_ws, ws`, or the names of all."""
    networks, machines, flows = (
        ", ".join(dict.fromkeys(each))
        for each in (
            (run.network for run in runs),
            (run.hardware for run in runs),
            (run.dataflow for run in runs),
        )
    )
    return f"{networks} on {machines}, {flows}"


def _groups(runs: Sequence[RunRecord], tiles: Sequence[Tiles | None]) -> list[Group]:
    """The runs by network, each with a label that tells it from the others."""
    found: dict[str, list[tuple[RunRecord, Tiles | None]]] = {}
    for run, its in zip(runs, tiles, strict=True):
        found.setdefault(run.network, []).append((run, its))
    return [_group(*zip(*some, strict=True)) for some in found.values()]


def _group(runs: tuple[RunRecord, ...], tiles: tuple[Tiles | None, ...]) -> Group:
    return Group(runs, _labels(runs), tiles)


def _labels(runs: Sequence[RunRecord]) -> tuple[str, ...]:
    """What is different among the runs; a number where nothing is."""
    parts = [(run.hardware, run.dataflow, f"batch {run.batch}") for run in runs]
    varying = [place for place in range(3) if len({each[place] for each in parts}) > 1]
    labels = [" ".join(each[place] for place in varying or (0, 1)) for each in parts]
    if len(set(labels)) == len(labels):
        return tuple(labels)
    return tuple(f"{number}: {label}" for number, label in enumerate(labels, 1))


def _origins(runs: Sequence[RunRecord]) -> Iterator[Html]:
    """What made the runs, where the results say so."""
    made: dict[str, MadeBy] = {}
    for run in runs:
        if run.made_by is not None:
            made.setdefault(f"{run.network} on {run.hardware}, {run.dataflow}", run.made_by)
    if not made:
        return
    said = [folded(called, _origin(each)) for called, each in made.items()]
    yield tag("section", tag("h3", "What made it"), joined(said))


def _origin(made: MadeBy) -> Html:
    rows = [
        ("accelsim", made.accelsim),
        ("network's content (SHA-256)", made.network_sha256),
        ("settings given", ", ".join(made.settings) or "none"),
        *_flat(made.hardware),
    ]
    cells = [[Cell(key, kind="t"), Cell(value, kind="t")] for key, value in rows]
    return table(("<key", "<value"), cells, "What made it")


def _flat(settings: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, dict) and path.count(".") < _DEEPEST:
            yield from _flat(value, f"{path}{key}.")
        elif value is not None:
            listed = value if isinstance(value, list) else [value]
            yield f"{path}{key}", ", ".join(map(str, listed))


_DEEPEST = 8
"""Levels of a hardware file that are told apart; deeper than any is."""
