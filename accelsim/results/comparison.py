"""Dataflows side by side: what each takes, and which is best for what by the objective.

A layer's own cycles leave out its waiting for other layers: branches share the array, and what
one branch costs another says nothing about the other's dataflow.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import fsum
from typing import TYPE_CHECKING, Any

from accelsim.hardware import BEST, Objective
from accelsim.lowering.objective import weighed
from accelsim.results.flat import layer_record
from accelsim.results.frames import frame
from accelsim.results.records import LayerResult, RunResult
from accelsim.text import html_table, visible

if TYPE_CHECKING:
    import pandas


BEST_BY: dict[Objective, str] = {
    "time": "best",
    "energy": "best by energy",
    "edp": "best by edp",
}
"""The header of what is best; time is the usual objective."""


def own_cycles(layer: LayerResult) -> int:
    """The layer's cycles without its waiting for other layers."""
    return layer.cycles - layer.buckets.other_layer


def own_cost(layers: Iterable[LayerResult], objective: Objective) -> float:
    """What is minimised, of some layers together: own cycles, pJ, or cycles times pJ."""
    each = tuple(layers)
    energy = fsum(layer.energy.total for layer in each if layer.energy)
    return float(weighed(objective, sum(map(own_cycles, each)), energy))


@dataclass(frozen=True, slots=True)
class LayerChoice:
    """One layer under each dataflow, judged by an objective."""

    dataflows: tuple[str, ...]
    layers: tuple[LayerResult, ...]
    objective: Objective = "time"

    @property
    def is_free(self) -> bool:
        """Whether the layer costs nothing under any dataflow."""
        return all(layer.is_free for layer in self.layers)

    @property
    def costs(self) -> list[tuple[float, int]]:
        """What is minimised, and DRAM bytes, under each dataflow."""
        return [(own_cost([one], self.objective), one.dram.total_bytes) for one in self.layers]

    @property
    def best(self) -> int:
        """Position of the least cost; ties go to less DRAM traffic, then to the first."""
        return self.costs.index(min(self.costs))

    @property
    def winner(self) -> str:
        """The best dataflow: of a run in which each layer has its own, that of this layer."""
        flow = self.dataflows[self.best]
        return (self.layers[self.best].dataflow or flow) if flow == BEST else flow

    @property
    def on_array(self) -> bool:
        """Whether the layer has a dataflow; one on the vector unit has none."""
        return self.layers[0].gemm is not None


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """One network on one hardware under several dataflows, one run each.

    What is best is so by the hardware's `objective`.
    """

    runs: tuple[RunResult, ...]
    objective: Objective = "time"

    @property
    def dataflows(self) -> tuple[str, ...]:
        """The dataflows in the order of the runs."""
        return tuple(run.dataflow for run in self.runs)

    @property
    def best(self) -> RunResult:
        """The run of least cost; ties go to less DRAM traffic, then to the first."""
        return min(self.runs, key=lambda run: (self.cost(run), run.dram.total_bytes))

    def cost(self, run: RunResult) -> float:
        """What is minimised, of a whole run: cycles, pJ, or cycles times pJ."""
        energy = run.energy
        return float(weighed(self.objective, run.cycles, energy.total if energy else 0.0))

    @property
    def plain(self) -> RunResult | None:
        """The best run under one dataflow for all layers; None if there is none."""
        plain = tuple(run for run in self.runs if not run.is_mixed)
        return replace(self, runs=plain).best if plain else None

    @property
    def layers(self) -> tuple[LayerChoice, ...]:
        """Each layer under all dataflows."""
        columns = zip(*(run.layers for run in self.runs), strict=True)
        return tuple(LayerChoice(self.dataflows, layers, self.objective) for layers in columns)

    @property
    def own_cycles(self) -> tuple[int, ...]:
        """For each dataflow the sum of the layers' own cycles."""
        return tuple(sum(map(own_cycles, run.layers)) for run in self.runs)

    @property
    def phases(self) -> "dict[str, tuple[int, ...]]":
        """For each phase of a training step its layers' own cycles under each dataflow."""
        by_run = [run.phases for run in self.runs]
        return {
            name: tuple(sum(map(own_cycles, phases[name].layers)) for phases in by_run)
            for name in by_run[0]
        }

    @property
    def phase_costs(self) -> "dict[str, tuple[float, ...]]":
        """For each phase of a training step what is minimised, of its layers, by dataflow."""
        by_run = [run.phases for run in self.runs]
        return {
            name: tuple(own_cost(phases[name].layers, self.objective) for phases in by_run)
            for name in by_run[0]
        }

    @property
    def mixed(self) -> tuple[LayerResult, ...]:
        """The layers if each one of the array took the dataflow that is best for it.

        A layer of the vector unit has no dataflow: it counts as under the `best` of the network.
        """
        usual = self.runs.index(self.best)
        return tuple(
            choice.layers[choice.best if choice.on_array else usual] for choice in self.layers
        )

    @property
    def mixed_own_cycles(self) -> int:
        """The sum of own cycles of the `mixed` layers."""
        return sum(map(own_cycles, self.mixed))

    def to_frame(self) -> "pandas.DataFrame":
        """A row for each layer under each dataflow; needs pandas."""
        return frame(
            {"dataflow": run.dataflow, **layer_record(run.layer_dict(layer))}
            for run in self.runs
            for layer in run.layers
        )

    def __repr__(self) -> str:
        """One line: cycles under each dataflow."""
        best = self.best
        each = ", ".join(f"{run.dataflow} {run.cycles:,}" for run in self.runs)
        return f"<Comparison {visible(f'{best.network} on {best.hardware}')}, cycles: {each}>"

    def _repr_html_(self) -> str:
        """Own cycles of each layer under each dataflow and what is best, for notebooks."""
        rows = [
            (
                choice.layers[0].name,
                *(f"{own_cycles(layer):,}" for layer in choice.layers),
                choice.winner if choice.on_array else "-",
            )
            for choice in self.layers
        ]
        whole = ("whole run", *(f"{run.cycles:,}" for run in self.runs), self.best.dataflow)
        headers = ("layer", *self.dataflows, BEST_BY[self.objective])
        return html_table(repr(self).strip("<>"), headers, (*rows, whole))

    def best_as_dict(self) -> dict[str, Any]:
        """The JSON form of what is best; a layer without a choice has null."""
        best = self.best
        return {
            "network": best.network,
            "hardware": best.hardware,
            "batch": best.batch,
            "objective": self.objective,
            "dataflow": best.dataflow,
            "cycles": best.cycles,
            "dram_bytes": best.dram.total_bytes,
            "own_cycles": dict(zip(self.dataflows, self.own_cycles, strict=True)),
            "own_cycles_each_layer_at_its_best": self.mixed_own_cycles,
            **self._phases_dict(),
            "layers": [_best_layer(choice) for choice in self.layers],
        }

    def _phases_dict(self) -> dict[str, Any]:
        """What is best for each phase, where there are several."""
        phases, costs = self.phases, self.phase_costs
        if len(phases) < 2:
            return {}
        best = {
            name: {
                "dataflow": self.dataflows[costs[name].index(min(costs[name]))],
                "own_cycles": dict(zip(self.dataflows, sums, strict=True)),
            }
            for name, sums in phases.items()
        }
        return {"phases": best}


def _best_layer(choice: LayerChoice) -> dict[str, Any]:
    best = choice.layers[choice.best]
    return {
        "name": best.name,
        "dataflow": choice.winner if choice.on_array else None,
        "own_cycles": own_cycles(best),
        "bound": best.bound,
    }
