"""A sampled sweep: Optuna proposes choices of the axes, the sweep's own results answer.

Optuna keeps nothing: its study is made anew from the stored results each time. A sampler
proposes by its seed and what it has been told, so with one job the same trials come again, and
those that are stored cost nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import TYPE_CHECKING, Any

from accelsim.errors import InputError, Problem
from accelsim.frontend.sweep_file import Search
from accelsim.sweep.axes import Axis
from accelsim.sweep.local import Finished
from accelsim.sweep.pareto import cost_of
from accelsim.sweep.quantities import Constraint, hardware_quantities, result_quantities
from accelsim.sweep.records import Outcome, Point
from accelsim.sweep.space import Sweep
from accelsim.sweep.store import Store

if TYPE_CHECKING:
    import optuna

    from accelsim.sweep.execute import Tally

Record = Mapping[str, object]
_VIOLATIONS = "violations"


def searched(
    sweep: Sweep,
    store: Store,
    known: Set[str],
    played: "Callable[[Iterable[Point]], Iterator[Finished]]",
    tally: "Tally",
) -> None:
    """Run the trials of `sweep.search`; `played` simulates and stores.

    Trials of points whose keys are `known` are answered by the `store`.
    """
    hunt = _Hunt(sweep, store, known, tally)
    for point, outcome in played(hunt.proposals()):
        hunt.answer(point.key, _record(point, outcome))


def _record(point: Point, outcome: Outcome) -> Record:
    return {
        **hardware_quantities(point.hardware),
        **result_quantities(outcome.totals, point.batch),
    }


class _Hunt:
    """A study, what is known by key, and the trials that wait for a point in the making."""

    def __init__(self, sweep: Sweep, store: Store, known: Set[str], tally: "Tally") -> None:
        assert sweep.search
        self.sweep, self.store, self.tally = sweep, store, tally
        self.study = _study(sweep.search, len(sweep.objectives))
        self.kept = set(known)
        self.answers: dict[str, Record] = {}
        self.waiting: dict[str, list[optuna.Trial]] = {}

    def proposals(self) -> Iterator[Point]:
        """The points to simulate, each proposed with what has been answered until then."""
        assert self.sweep.search
        for _ in range(self.sweep.search.trials):
            trial = self.study.ask()
            point = self.sweep.point([_choice(trial, axis) for axis in self.sweep.axes])
            if point is None or point.key in self.answers or point.key in self.waiting:
                self.tally.repeated += 1
            elif point.key in self.kept:
                self.recall(point)
                self.tally.stored += 1
            else:
                self.waiting[point.key] = [trial]
                yield point
                continue
            if point is None:  # the sweep leaves it out
                self.tell(trial, {})
            elif point.key in self.answers:
                self.tell(trial, self.answers[point.key])
            else:
                self.waiting[point.key].append(trial)

    def recall(self, point: Point) -> None:
        """Take what the store has of a point, which is a point of this search from now on."""
        self.store.adopt(point)
        outcome = self.store.outcome(point.key)
        assert outcome is not None
        self.answers[point.key] = _record(point, outcome)

    def answer(self, key: str, record: Record) -> None:
        """Tell the trials of a point what became of it."""
        self.answers[key] = record
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


def _choice(trial: "optuna.Trial", axis: Axis) -> int:
    """Index of a choice; numbers have an order, which the sampler may use, names have none."""
    last = len(axis.choices) - 1
    if _is_ordered(axis):
        ordered: int = trial.suggest_int(axis.key, 0, last)
        return ordered
    chosen: int = trial.suggest_categorical(axis.key, range(last + 1))
    return chosen


def _is_ordered(axis: Axis) -> bool:
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
        raise InputError(Problem(message=message, key="search")) from None
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
