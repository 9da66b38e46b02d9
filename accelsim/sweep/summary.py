"""What a results file says in short: fronts, bests and failures, network by network."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.arguments import checked
from accelsim.results import SCHEMA, layer_record
from accelsim.results.frames import frame
from accelsim.sweep.about import About
from accelsim.sweep.overall import over_networks
from accelsim.sweep.pareto import best_per_objective, by_network, candidates, pareto_front
from accelsim.sweep.quantities import Record
from accelsim.sweep.store import Store
from accelsim.text import html_table, visible

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, repr=False)
class Summary:
    """Records of a sweep of `points` points, and what is best of them.

    `path` is the results file, `parameters` are the keys that the sweep varies. Networks are
    judged apart, for the cycles of one say nothing of another's.
    """

    path: Path
    about: About
    points: int
    parameters: list[str]
    records: list[Record] = field(repr=False)

    def __str__(self) -> str:
        """Such as: small: 8 points, 6 done, 1 failed, 1 not run yet, in small.sqlite."""
        return visible(
            f"{self.about.name}: {self.points:,} points, {len(self.done):,} done, "
            f"{len(self.failed):,} failed, {self.waiting:,} not run yet, in {self.path}"
        )

    def __repr__(self) -> str:
        """One line, however many points there are."""
        return f"<Summary {self}>"

    def _repr_html_(self) -> str:
        """The front of each network, for notebooks."""
        headers = ("network", *self.varied, *self.about.objectives)
        rows = [
            tuple(record.get(name) for name in headers)
            for front in self.fronts.values()
            for record in front
        ]
        return html_table(f"Pareto front of {self}", headers, rows)

    def to_frame(self) -> "pandas.DataFrame":
        """A row for each point, as in CSV; needs pandas."""
        return frame(self.records)

    @cached_property
    def done(self) -> list[Record]:
        """Points that were simulated."""
        return [record for record in self.records if record["status"] == "done"]

    @property
    def failed(self) -> list[Record]:
        """Points that were not."""
        return [record for record in self.records if record["status"] == "failed"]

    @cached_property
    def varied(self) -> list[str]:
        """Parameters, without the network, that are not the same in all records, failed or not."""
        return [
            name
            for name in self.parameters
            if name != "network"
            and any(each[name] != self.records[0][name] for each in self.records)
        ]

    @property
    def waiting(self) -> int:
        """Points that have no outcome yet."""
        return self.points - len(self.records)

    @property
    def feasible(self) -> int:
        """Simulated points that meet every constraint."""
        return len(candidates(self.done, self.about.objectives, self.about.constraints))

    @cached_property
    def by_network(self) -> dict[str, list[Record]]:
        """Points that were simulated, network by network."""
        return {str(name): records for name, records in by_network(self.done).items()}

    @cached_property
    def fronts(self) -> dict[str, list[Record]]:
        """The Pareto front of each network."""
        objectives, constraints = self.about.objectives, self.about.constraints
        return {
            network: pareto_front(records, objectives, constraints)
            for network, records in self.by_network.items()
        }

    @cached_property
    def best(self) -> dict[str, dict[str, Record]]:
        """The best point of each network for each objective."""
        objectives, constraints = self.about.objectives, self.about.constraints
        return {
            network: best_per_objective(records, objectives, constraints)
            for network, records in self.by_network.items()
        }

    @cached_property
    def overall(self) -> list[Record]:
        """Points over all networks, where the sweep says how and there are several."""
        about = self.about
        if about.over is None or len(self.by_network) < 2:
            return []
        return over_networks(
            self.done, self.parameters, about.over, about.objectives, about.constraints
        )

    @cached_property
    def overall_front(self) -> list[Record]:
        """The Pareto front of the points over all networks."""
        return pareto_front(self.overall, self.about.objectives)

    @cached_property
    def overall_best(self) -> dict[str, Record]:
        """The best point over all networks for each objective."""
        return best_per_objective(self.overall, self.about.objectives)

    def layers(self) -> Iterator[Record]:
        """A flat record for each layer of each simulated point, read as it is asked for.

        First what the point is, then the quantities of `accelsim run --csv`; suits
        pandas.DataFrame.
        """
        names = ("network", "batch", *self.parameters, "key")
        with Store.read(self.path) as store:
            for record, table in store.layers():
                point = {name: record[name] for name in names}
                yield from (point | layer_record(layer) for layer in table)

    def as_dict(self) -> dict[str, Any]:
        """The JSON form; fronts and bests name points by their keys."""
        bounds = {
            each.quantity: {"min": each.least, "max": each.most} for each in self.about.constraints
        }
        return {
            "schema": SCHEMA,
            "sweep": self.about.name,
            "version": self.about.version,
            "code": self.about.code,
            "objectives": dict(self.about.objectives),
            "constraints": bounds,
            "points": self.points,
            "done": len(self.done),
            "failed": len(self.failed),
            "waiting": self.waiting,
            "parameters": self.parameters,
            "front": {name: [each["key"] for each in front] for name, front in self.fronts.items()},
            "best": {
                name: {objective: record["key"] for objective, record in best.items()}
                for name, best in self.best.items()
            },
            **self._overall_dict(),
            "records": self.records,
        }

    def _overall_dict(self) -> dict[str, Any]:
        """What JSON says of the points over all networks: nothing where there are none."""
        if not self.overall:
            return {}
        best = {name: record["key"] for name, record in self.overall_best.items()}
        return {
            "overall": {
                "over_networks": self.about.over,
                "front": [record["key"] for record in self.overall_front],
                "best": best,
                "records": self.overall,
            }
        }


@checked
def load_results(path: str | Path) -> Summary:
    """What the results file of a sweep says, which may still run; raises InputError."""
    with Store.read(path) as store:
        return summary_of(store)


def summary_of(store: Store) -> Summary:
    """What a results file says."""
    return Summary(
        path=store.path,
        about=store.about,
        points=store.count(),
        parameters=store.parameters(),
        records=store.records(),
    )


def brief_summary_of(store: Store) -> Summary:
    """What a results file says, with the quantities alone that `judged` names."""
    about = store.about
    records = store.brief_records(judged(about))
    return Summary(
        path=store.path,
        about=about,
        points=store.count(),
        parameters=store.parameters(),
        records=records,
    )


def judged(about: About) -> list[str]:
    """Quantities by which people judge points: objectives, constraints, cycles, utilization."""
    bounded = (constraint.quantity for constraint in about.constraints)
    return list(dict.fromkeys((*about.objectives, *bounded, "cycles", "utilization")))
