"""Energy tables (`configs/energy/*.yaml`) by name or path."""

from pathlib import Path

from pydantic import ValidationError

from accelsim.errors import InputError
from accelsim.frontend.builtin import builtin_names, find_file
from accelsim.frontend.findings import validation_problems
from accelsim.frontend.source import Data, in_file_order, read_yaml
from accelsim.technology import EnergyTable


def energy_table(name_or_path: str, folder: Path) -> dict[str, Data]:
    """The content of a valid table: a built-in one by name, or a YAML file.

    A relative path starts at `folder`. Raises InputError with every problem of the file.
    """
    found: str | Path = name_or_path
    if name_or_path not in builtin_names("configs/energy") and Path(name_or_path).suffix:
        found = folder / name_or_path
    document = read_yaml(find_file("configs/energy", found, (".yaml", ".yml")))
    problems = list(document.problems)
    try:
        EnergyTable.model_validate(document.data)
    except ValidationError as error:
        problems += validation_problems(error, document, EnergyTable.model_json_schema())
    if problems:
        raise InputError(in_file_order(problems))
    return document.data


def load_energy_table(name_or_path: str) -> EnergyTable:
    """A built-in energy table by name, or one from a YAML file; raises InputError."""
    return EnergyTable.model_validate(energy_table(name_or_path, Path()))
