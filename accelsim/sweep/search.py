"""A sampled sweep: Optuna proposes choices of the axes, the sweep's own results answer.

Optuna keeps nothing: its study is made anew from the stored results each time. A sampler
proposes by its seed and what it has been told, so with one job the same trials come again, and
those that are stored cost nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from accelsim.errors import InputError, Problem
from accelsim.frontend.sweep_file import Search
from accelsim.sweep.pareto import cost_of
from accelsim.sweep.quantities import Constraint, hardware_quantities, result_quantities
from accelsim.sweep.records import Outcome, Point

if TYPE_CHECKING:
    import optuna

    from accelsim.sweep.execute import Finished, Results, Tally
    from accelsim.sweep.space import Axis, Sweep

Record = Mapping[str, object]
_VIOLATIONS = "violations"


def searched(
    sweep: "Sweep",
    results: "Results",
    played: "Callable[[Iterable[Point]], Iterator[Finished]]",
    tally: "Tally",
) -> None:
    """Run the trials of `sweep.search`; `played` simulates and stores what is not stored yet."""
    hunt = _Hunt(sweep, {str(record["key"]): record for record in results.records()}, tally)
    for point, outcome in played(hunt.proposals()):
        hunt.answer(point.key, _record(point, outcome))


def _record(point: Point, outcome: Outcome) -> Record:
    return {
        **hardware_quantities(point.hardware),
        **result_quantities(outcome.totals, point.batch),
    }


class _Hunt:
    """A study, what is known by key, and the trials that wait for a point in the making."""

    def __init__(self, sweep: "Sweep", known: dict[str, Record], tally: "Tally") -> None:
        assert sweep.search
        self.sweep, self.known, self.tally = sweep, known, tally
        self.before = known.keys() - {point.key for point in sweep.points}
        self.study = _study(sweep.search, len(sweep.objectives))
        self.waiting: dict[str, list[optuna.Trial]] = {}

    def proposals(self) -> Iterator[Point]:
        """The points to simulate, each proposed with what has been answered until then."""
        assert self.sweep.search
        for _ in range(self.sweep.search.trials):
            trial = self.study.ask()
            point = self.sweep.point([_choice(trial, axis) for axis in self.sweep.axes])
            if point is None:  # the sweep leaves it out
                self.tell(trial, {})
                self.tally.repeated += 1
            elif point.key in self.known:
                self.tell(trial, self.known[point.key])
                self.count(point.key)
            elif point.key in self.waiting:
                self.waiting[point.key].append(trial)
                self.tally.repeated += 1
            else:
                self.waiting[point.key] = [trial]
                yield point

    def count(self, key: str) -> None:
        """Count a trial that costs nothing: stored by an earlier run, or a repeat."""
        if key in self.before:
            self.before.remove(key)
            self.tally.stored += 1
        else:
            self.tally.repeated += 1

    def answer(self, key: str, record: Record) -> None:
        """Tell the trials of a point what became of it."""
        self.known[key] = record
        for trial in self.waiting.pop(key):
            self.tell(trial, record)

    def tell(self, trial: "optuna.Trial", record: Record) -> None:
        """A trial's objectives as costs, and by how much it violates the constraints.

        One without results is failed: a sampler learns nothing from it.
        """
        from optuna.trial import TrialState

        objectives = self.sweep.objectives
        if not all(isinstance(record.get(name), (int, float)) for name in objectives):
            self.study.tell(trial, state=TrialState.FAIL)
            return
        violations = [_violation(each, record) for each in self.sweep.constraints]
        trial.set_user_attr(_VIOLATIONS, violations)
        self.study.tell(trial, cost_of(record, objectives))


def _choice(trial: "optuna.Trial", axis: "Axis") -> int:
    """Index of a choice; numbers have an order, which the sampler may use, names have none."""
    last = len(axis.choices) - 1
    if _is_ordered(axis):
        return trial.suggest_int(axis.key, 0, last)
    chosen: int = trial.suggest_categorical(axis.key, range(last + 1))
    return chosen


def _is_ordered(axis: "Axis") -> bool:
    """Whether all values are numbers, or start with one: 64, 64 KiB."""
    return all(str(value)[:1].isdigit() for value in axis.values)


def _violation(constraint: Constraint, record: Record) -> float:
    """How far a quantity is outside, in shares of the bound; 0 or less where it is inside."""
    value = record.get(constraint.quantity)
    if not isinstance(value, (int, float)):
        return 1.0
    ends = []
    if constraint.least is not None:
        ends.append((constraint.least - value) / (abs(constraint.least) or 1))
    if constraint.most is not None:
        ends.append((value - constraint.most) / (abs(constraint.most) or 1))
    return max(ends)


def _study(search: Search, objectives: int) -> "optuna.Study":
    """An empty study in memory; raises InputError where Optuna is not installed."""
    try:
        import optuna
    except ModuleNotFoundError:
        message = 'needs Optuna; install it with pip install "accelsim[optuna]"'
        raise InputError(Problem(message, key="search")) from None
    import warnings

    optuna.logging.set_verbosity(optuna.logging.WARNING)

    def violations(trial: optuna.trial.FrozenTrial) -> Any:
        return trial.user_attrs.get(_VIOLATIONS, ())

    with warnings.catch_warnings():  # `constraints_func` has been experimental for years
        warnings.simplefilter("ignore")
        samplers: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
            "random": lambda: optuna.samplers.RandomSampler(search.seed),
            "nsga2": lambda: optuna.samplers.NSGAIISampler(
                seed=search.seed, constraints_func=violations
            ),
            "tpe": lambda: optuna.samplers.TPESampler(
                seed=search.seed, constraints_func=violations
            ),
        }
        sampler = samplers[search.method]()
    return optuna.create_study(sampler=sampler, directions=["minimize"] * objectives)
