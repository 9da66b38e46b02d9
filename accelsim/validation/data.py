"""The published numbers that are shipped with the package, under `data/`."""

import csv
from pathlib import Path

FOLDER = Path(__file__).parent / "data"


def table(name: str) -> list[dict[str, str]]:
    """The rows of `data/<name>.csv` by column; lines that begin with # cite the source."""
    text = (FOLDER / f"{name}.csv").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return list(csv.DictReader(lines))
