"""SCALE-Sim's hardware: its .cfg files, versions 1 to 3, as the hardware of a YAML file.

An array with three SRAM buffers of words of one byte, and a bandwidth. The rest is as in the file
`scalesim_default`: folds one after another, DRAM without latency and bursts, and nothing that stays
on chip, for SCALE-Sim knows no graph. What has no counterpart here is told by `unheeded`; sparsity
is refused, for times without it would be others.
"""

import configparser
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from accelsim.errors import InputError, Problem, did_you_mean
from accelsim.frontend.source import Data, Document, KeyPath, Mark, Node, in_file_order, read_text
from accelsim.text import shown

Value = TypeVar("Value")

STALL_FREE = "1048576 B/cycle"
"""A bandwidth at which nothing waits, for `InterfaceBandwidth: CALC`, and version 1."""

_SECTIONS = "sections such as [architecture_presets], then `Key: value` by line"
DATAFLOWS = ("os", "ws", "is")
_BUFFERS = {"ifmap": ["ifmap"], "filter": ["filter"], "ofmap": ["psum", "ofmap"]}
_UNHEEDED = {
    "ifmapoffset": "addresses",
    "filteroffset": "addresses",
    "ofmapoffset": "addresses",
    "readrequestbuffer": "queues of requests",
    "writerequestbuffer": "queues of requests",
    "memorybanks": "the banks of the buffers",
    "topologycsvloc": "the topology; name the .csv as the network",
}
_HEEDED = (
    "run_name",
    "arrayheight",
    "arraywidth",
    *(f"{name}sramsz{unit}" for name in _BUFFERS for unit in ("kb", "")),
    "dataflow",
    "bandwidth",
    "interfacebandwidth",
)
_SWITCHED = (
    "sparsitysupport",
    "sparserep",
    "optimizedmapping",
    "blocksize",
    "nonzeroelems",
    "randomnumbergeneratorseed",
    *(f"{name}srambank{what}" for name in _BUFFERS for what in ("bandwidth", "num", "port")),
)
"""Keys of what is off, if its switch does not say otherwise."""
_SWITCHES = {
    "useramulatortrace": "a trace of Ramulator's; set dram.timing to a standard, such as DDR4-2400",
    "ifmapcustomlayout": "the layout of ifmaps in banks",
    "filtercustomlayout": "the layout of filters in banks",
}
_KNOWN = {*_HEEDED, *_SWITCHED, *_UNHEEDED, *_SWITCHES}


def cfg_document(path: Path) -> Document:
    """The hardware of a .cfg file, as a YAML file would say it; raises InputError."""
    text = read_text(path)
    return _Reader(source=str(path), values=_parsed(text, path), lines=_lines(text)).document(
        path.stem
    )


def unheeded(path: Path) -> list[str]:
    """What the file says and accelsim has no counterpart for, in words; raises InputError."""
    values = _parsed(read_text(path), path)
    found = [what for key, what in _UNHEEDED.items() if key in values]
    found += [what for key, what in _SWITCHES.items() if values.get(key, "").lower() == "true"]
    notes = [f"not heeded: {', '.join(dict.fromkeys(found))}"] if found else []
    if unknown := [shown(key) for key in values if key not in _KNOWN]:
        notes.append(f"not known, so not heeded: {', '.join(unknown)}")
    if "," in values.get("bandwidth", ""):
        notes.append("of the bandwidths the first is taken, as SCALE-Sim does")
    if values.get("interfacebandwidth", "CALC").upper() != "USER":
        notes.append("no bandwidth is given (CALC), so nothing waits for DRAM")
    else:
        notes.append("the bandwidth is that of one DRAM channel, which all three buffers share")
    return notes


def _parsed(text: str, path: Path) -> dict[str, str]:
    """The file's values by key in small letters, whatever their sections."""
    if not text.strip():
        raise InputError(
            Problem(message=f"the file is empty; it needs {_SECTIONS}", source=str(path), line=1)
        )
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    try:
        parser.read_string(text)
    except (configparser.DuplicateOptionError, configparser.DuplicateSectionError) as error:
        again = getattr(error, "option", None) or f"[{error.section}]"
        twice = Problem(
            message="is there twice", source=str(path), line=error.lineno or 0, key=again
        )
        raise InputError(twice) from None
    except configparser.Error as error:
        line = getattr(error, "lineno", None) or getattr(error, "errors", [(0, "")])[0][0]
        raise InputError(
            Problem(message=f"is no .cfg: {_SECTIONS}", source=str(path), line=line)
        ) from None
    return {key: value for section in parser.sections() for key, value in parser[section].items()}


def _lines(text: str) -> dict[str, Mark]:
    """Where each key stands."""
    found = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if match := re.match(r"\s*([^\s:=#;\[][^:=]*?)\s*[:=]", line):
            found[match[1].lower()] = (number, 1)
    return found


@dataclass
class _Reader:
    """Takes values out of a file, and notes what is wrong with them."""

    source: str
    values: dict[str, str]
    lines: dict[str, Mark]
    problems: list[Problem] = field(default_factory=list)
    marks: dict[KeyPath, Mark] = field(default_factory=dict)

    def document(self, stem: str) -> Document:
        """The hardware, with every problem of the file."""
        rows = self.count(("array", "rows"), "arrayheight")
        cols = self.count(("array", "cols"), "arraywidth")
        sizes = {name: self.size(name) for name in _BUFFERS}
        dataflow = self.taken(("array", "dataflow"), _dataflow, "dataflow") or DATAFLOWS[1]
        rate = self.bandwidth()
        if self.values.get("sparsitysupport", "").lower() == "true":
            self.wrong("sparsitysupport", "accelsim has no sparsity; set it to false")
        data: dict[str, Data] = {
            "name": self.values.get("run_name", "").strip("\"' ") or stem,
            "description": f"SCALE-Sim's {Path(self.source).name}",
            "clock": "1 GHz",
            "array": {
                "rows": rows,
                "cols": cols,
                "dataflow": dataflow,
                "fold_overlap": "serial",
                "edge_folds": "full",
            },
            "precision": {"ifmap": "int8", "filter": "int8", "psum": "int32", "ofmap": "int8"},
            "buffers": {
                f"{name}_sram": {"holds": [*holds], "size": f"{sizes[name]} KiB"}
                for name, holds in _BUFFERS.items()
            },
            "vector_unit": {"lanes": cols},
            "dram": {"bandwidth": rate, "latency": "0 cycles", "burst": "1 B"},
            "residency": "off",
        }
        return Document(self.source, self.node(data, ()), tuple(in_file_order(self.problems)))

    def node(self, data: Data, path: KeyPath) -> Node:
        """A value, at the line of the key that it comes from."""
        mark = self.marks.get(path, (1, 1))
        if not isinstance(data, dict):
            return Node(data=data, mark=mark)
        parts: dict[str | int, Node] = {
            key: self.node(value, (*path, key)) for key, value in data.items()
        }
        return Node(
            data=data,
            mark=mark,
            parts=parts,
            keys={str(key): part.mark for key, part in parts.items()},
        )

    def count(self, path: KeyPath, *keys: str) -> int:
        return self.taken(path, _positive, *keys) or 1

    def size(self, name: str) -> int:
        path = ("buffers", f"{name}_sram", "size")
        return self.count(path, f"{name}sramszkb", f"{name}sramsz")

    def bandwidth(self) -> str:
        """The rate of DRAM: the first that is given, if the file says that it is to be used."""
        said = self.values.get("interfacebandwidth", "CALC")
        if said.upper() not in ("USER", "CALC"):
            self.wrong("interfacebandwidth", f"expected USER or CALC, found {shown(said)}")
        if said.upper() != "USER":
            return STALL_FREE
        rate = self.taken(("dram", "bandwidth"), _first_positive, "bandwidth")
        return f"{rate or 1} B/cycle"

    def taken(self, path: KeyPath, read: Callable[[str], Value], *keys: str) -> Value | None:
        """The value of the first of the keys that is there; None, and a problem, if it is wrong."""
        key = next((each for each in keys if each in self.values), None)
        if key is None:
            others = sorted(self.values.keys() - _KNOWN)
            message = f"is missing; {did_you_mean(keys[0], others)}".rstrip("; ")
            self.problems.append(Problem(message=message, source=self.source, key=keys[0]))
            return None
        self.marks[path] = self.lines.get(key, (1, 1))
        try:
            return read(self.values[key])
        except ValueError as error:
            self.wrong(key, str(error))
            return None

    def wrong(self, key: str, message: str) -> None:
        line, column = self.lines.get(key, (1, 1))
        self.problems.append(
            Problem(message=message, source=self.source, line=line, column=column, key=key)
        )


def _positive(text: str) -> int:
    """A whole number above 0; raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise ValueError(f"expected a whole number above 0, found {shown(text)}")
    return int(text)


def _first_positive(text: str) -> int:
    return _positive(text.split(",")[0].strip())


def _dataflow(text: str) -> str:
    if text.lower() not in DATAFLOWS:
        raise ValueError(f"expected one of {', '.join(DATAFLOWS)}, found {shown(text)}")
    return text.lower()
