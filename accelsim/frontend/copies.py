"""A file of a network, hardware or what else is built in as text, to copy and to change."""

from functools import partial
from pathlib import Path

import yaml

from accelsim import written
from accelsim.errors import InputError, Problem
from accelsim.frontend.builtin import find_file
from accelsim.frontend.hardware_file import SCALESIM, load_hardware
from accelsim.frontend.kind import expect_kind, other_kind
from accelsim.frontend.source import read_text
from accelsim.text import visible_lines

_YAML = (".yaml", ".yml")


def file_text(name: str) -> str:
    """The file as it is; SCALE-Sim's .cfg as a hardware file. Raises InputError."""
    if Path(name).suffix.lower() == SCALESIM:
        settings = written.nested(written.settings(load_hardware(name)))
        return yaml_text(settings)
    other = other_kind(name)
    if other is not None:
        return read_text(other[1])
    kind = expect_kind(name, every=True)
    path = find_file("workloads" if kind == "network" else "configs", name, _every(name))
    if path.suffix.lower() not in _YAML:
        raise InputError(
            Problem(message="is no YAML, which alone is printed as it is", source=str(path))
        )
    return read_text(path)


def yaml_text(
    data: object, dumper: type[yaml.SafeDumper] = yaml.SafeDumper, width: int = 80
) -> str:
    """YAML of data in its order; written out in ASCII where a terminal would obey some letter."""
    say = partial(yaml.dump, data, Dumper=dumper, sort_keys=False, width=width)
    text = str(say(allow_unicode=True))
    return text if visible_lines(text) == text else str(say(allow_unicode=False))


def _every(name: str) -> tuple[str, ...]:
    return (*_YAML, Path(name).suffix.lower())
