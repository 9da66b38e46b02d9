"""What a results file says of the sweep whose results it holds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from accelsim import __version__
from accelsim.errors import InputError, Problem
from accelsim.frontend.sweep_file import Over
from accelsim.results import SCHEMA as RESULT_SCHEMA
from accelsim.sweep.code import CODE
from accelsim.sweep.quantities import Constraint, Objectives
from accelsim.sweep.space import Sweep


@dataclass(frozen=True, slots=True)
class About:
    """What a results file says of its sweep, which has so many `points` besides sampled ones."""

    name: str
    content: str
    source: str
    objectives: Objectives
    constraints: tuple[Constraint, ...]
    version: str
    code: str
    over: Over | None = None
    points: int = 0

    def rows(self) -> dict[str, str]:
        """As text by key."""
        bounds = [[each.quantity, each.least, each.most] for each in self.constraints]
        return {
            "name": self.name,
            "content": self.content,
            "source": self.source,
            "objectives": json.dumps(dict(self.objectives)),
            "constraints": json.dumps(bounds),
            "over_networks": json.dumps(self.over),
            "points": str(self.points),
            "version": self.version,
            "code": self.code,
            "results": str(RESULT_SCHEMA),
        }

    @classmethod
    def from_rows(cls, rows: Mapping[str, str]) -> "About":
        """The inverse of `rows`."""
        bounds = (Constraint(*each) for each in json.loads(rows["constraints"]))
        return cls(
            name=rows["name"],
            content=rows["content"],
            source=rows["source"],
            objectives=json.loads(rows["objectives"]),
            constraints=tuple(bounds),
            version=rows["version"],
            code=rows["code"],
            over=json.loads(rows.get("over_networks", "null")),
            points=int(rows.get("points", "0")),
        )

    @classmethod
    def of(cls, sweep: Sweep) -> "About":
        """What is written of a sweep today."""
        return cls(
            name=sweep.identity,
            content=sweep.content,
            source=sweep.source,
            objectives=sweep.objectives,
            constraints=sweep.constraints,
            version=__version__,
            code=CODE,
            over=sweep.over,
            points=len(sweep.points),
        )


def check_sweep(about: About, sweep: Sweep, path: Path) -> None:
    """Raise InputError for results of another sweep, or of another version of the model."""
    if about.name != sweep.identity:
        message = (
            f"holds the sweep {about.name!r}, not {sweep.identity!r}; results of two sweeps are "
            "never mixed: give another path"
        )
        raise InputError(Problem(message=message, source=str(path)))
    if about.version != __version__:
        message = (
            f"was written by accelsim {about.version}, whose results may differ from those of "
            f"{__version__}; go on with that version, or give another path"
        )
        raise InputError(Problem(message=message, source=str(path)))
