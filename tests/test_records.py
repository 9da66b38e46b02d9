"""A record of more than four fields is built by keyword, wherever it is built.

Files are read by patterns, not parsed, which would take seconds; where a name means several
classes, the one that a file defines or imports is looked at.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
MOST = 4  # fields of a record that may be built by position

CLASS = re.compile(r"^((?:@.*\n)*)class (\w+)(?:\((.*)\))?:\n((?:(?: .*)?\n)*)", re.M)
METHOD = re.compile(r"^    (?:@|def )", re.M)
FIELD = re.compile(r"^    (\w+): (?!ClassVar|.*init=False)", re.M)
DOCSTRING = re.compile(r'""".*?"""', re.S)
IMPORT = re.compile(r"^ *from (accelsim\S*) import (?:\(([^)]*)\)|(.*))", re.M)
BY_POSITION = re.compile(r"(?<![\w.`])(\w+)\((?!\s*(?:#.*\s+)?(?:\w+=[^=]|\*|\)))")


class Module(NamedTuple):
    """A file: its text, of its classes the fields and bases, and where its names are from."""

    text: str
    classes: Mapping[str, tuple[frozenset[str], str]]
    imported: Mapping[str, str]


def read(text: str) -> Module:
    classes = {}
    for decorators, name, bases, body in CLASS.findall(text):
        head = DOCSTRING.sub("", METHOD.split(body, maxsplit=1)[0])
        is_record = "@dataclass" in decorators or "NamedTuple" in bases
        own = frozenset(FIELD.findall(head) if is_record else ())
        classes[name] = (own, re.sub(r"\[.*\]", "", bases))
    imported = {
        name.strip(): module
        for module, several, line in IMPORT.findall(text)
        for name in (several or line).split(",")
    }
    return Module(text, classes, imported)


@cache
def modules() -> Mapping[str, Module]:
    """Every file of the package by the name that it is imported as."""
    found = {}
    for path in sorted(ROOT.joinpath("accelsim").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = read(path.read_text(encoding="utf-8"))
    return found


def fields(module: Module | None, name: str) -> frozenset[str]:
    """The fields of the record that a module knows by this name; none where it is no record."""
    if module is None:
        return frozenset()
    if name in module.classes:
        own, bases = module.classes[name]
        return own.union(*(fields(module, base) for base in re.findall(r"\w+", bases)))
    return fields(modules().get(module.imported.get(name, "")), name)


def by_position(module: Module) -> Iterator[str]:
    """The lines that build a record of many fields and do not name the first."""
    for call in BY_POSITION.finditer(module.text):
        name, start = call[1], call.start()
        before = module.text[module.text.rfind("\n", 0, start) + 1 : start]
        if name == "cls":
            name = [each[2] for each in CLASS.finditer(module.text) if each.start() < start][-1]
        if len(fields(module, name)) > MOST and not before.endswith(("class ", "# ")):
            yield f"{before.strip()}{module.text[start : call.end() + 40]}"


def test_records_of_many_fields_are_built_by_keyword() -> None:
    found = {name: list(by_position(module)) for name, module in modules().items()}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("accelsim.lowering.dataflow", "Extents(m=1, n=1", "Extents(1, n=1"),
        ("accelsim.lowering.gemm_tasks", "Step(\n            loads=", "Step(\n            "),
        ("accelsim.learning", "cls(\n            program=", "cls(\n            "),
        ("accelsim.frontend", "Problem(message=", "Problem("),  # through what it imports
        ("accelsim.lowering.energy", "Energy(\n            mac=", "Energy(\n            "),
    ],
)
def test_one_built_by_position_is_found(name: str, right: str, wrong: str) -> None:
    text = modules()[name].text
    assert right in text
    assert len(list(by_position(read(text.replace(right, wrong))))) >= 1
