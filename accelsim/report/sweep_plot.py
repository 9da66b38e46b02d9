"""Figures of a sweep for a paper's column: the Pareto front, and a heat map of two settings."""

from collections.abc import Callable, Sequence

from accelsim.errors import InputError, Problem, did_you_mean
from accelsim.report.plot import Axes, label, tick, write_figure
from accelsim.sweep.quantities import Record
from accelsim.sweep.summary import Summary


def write_sweep_plot(kind: str, summary: Summary, path: str, asked: Sequence[str] = ()) -> None:
    """Draw `kind` of the first network of a sweep into `path`; raises InputError.

    `asked` are settings or objectives: what is across, what is up, and the colour of a heat map.
    """
    write_figure(path, lambda axes: SWEEP_KINDS[kind](axes, summary, asked))


def _pareto(axes: Axes, summary: Summary, asked: Sequence[str]) -> None:
    """All points by two objectives, and the front: a line, unless it has further objectives."""
    network, points = _points(summary)
    names = [*summary.about.objectives]
    across, up = _two(asked, names)
    front = sorted(summary.fronts[network], key=lambda each: _value(each, across))
    pairs = [(_value(each, across), _value(each, up)) for each in points]
    axes.scatter(*zip(*pairs, strict=True), s=6, c="0.7", lw=0, label="points")
    best = [(_value(each, across), _value(each, up)) for each in front]
    if best:
        style = "ks-" if len(names) == 2 else "ks"
        axes.plot(*zip(*best, strict=True), style, ms=2.5, lw=0.6, label="Pareto front")
    axes.set(xlabel=label(across), ylabel=label(up), title=label(network))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(tick)
    axes.legend(frameon=False)


def _heat_map(axes: Axes, summary: Summary, asked: Sequence[str]) -> None:
    """The best of an objective for each pair of values of two settings, darker where better."""
    network, points = _points(summary)
    goals = summary.about.objectives
    shown = next((each for each in asked if each in goals), next(iter(goals)))
    across, down = _two([each for each in asked if each not in goals], summary.varied)
    columns, rows = ([*dict.fromkeys(point[name] for point in points)] for name in (across, down))
    cells = [
        [_best(points, {across: x, down: y}, shown, goals[shown]) for x in columns] for y in rows
    ]
    colours = "Greys_r" if goals[shown] == "min" else "Greys"
    picture = axes.imshow(cells, cmap=colours, aspect="auto")
    axes.set_xticks(range(len(columns)), map(label, columns))
    axes.set_yticks(range(len(rows)), map(label, rows))
    title = f"{label(network)}: {goals[shown]} {shown}"
    axes.set(xlabel=label(across), ylabel=label(down), title=title)
    axes.figure.colorbar(picture, format=tick)


def _best(points: Sequence[Record], having: Record, shown: str, goal: str) -> float:
    """The best of the points with some settings; not a number where there are none."""
    some = [
        _value(point, shown)
        for point in points
        if all(point[name] == value for name, value in having.items())
    ]
    return (min if goal == "min" else max)(some, default=float("nan"))


def _points(summary: Summary) -> tuple[str, list[Record]]:
    """The first network and its points; raises InputError where none is done."""
    for network, points in summary.by_network.items():
        return network, points
    raise InputError(Problem(message="no point is done yet", source=str(summary.path)))


def _two(asked: Sequence[str], there: Sequence[str]) -> Sequence[str]:
    """Those that are asked for, made up to two from what is there; raises InputError."""
    problems = [
        Problem(
            message=f"unknown {each!r}; {did_you_mean(each, there)}there are {', '.join(there)}"
        )
        for each in asked
        if each not in there
    ]
    if len(there) < 2:
        problems.append(
            Problem(message=f"this needs two, and there is {', '.join(there) or 'none'}")
        )
    if problems:
        raise InputError(problems)
    return [*asked, *(each for each in there if each not in asked)][:2]


def _value(record: Record, name: str) -> float:
    value = record.get(name)
    return float(value) if isinstance(value, (int, float)) else float("nan")


SWEEP_KINDS: dict[str, Callable[[Axes, Summary, Sequence[str]], None]] = {
    "pareto": _pareto,
    "heatmap": _heat_map,
}
"""What can be drawn of a sweep."""
