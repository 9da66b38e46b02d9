"""Hostile files of each kind that has a JSON schema: shipped ones with keys set to what may be.

As in hostile.py: each case is a folder of files and the arguments of one command. Which keys there
are, and what they may hold, is read from what `accelsim schema` prints, so that no new key is
forgotten: mostly what is allowed, its ends above all, and now and then something else.
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from functools import cache
from random import Random
from typing import Any

import yaml
from hostile import NAMES, RUNS, SCALARS, TINY, Case, shipped

from accelsim.cli import app

Schema = Mapping[str, Any]
TEXTS: Sequence[str] = (
    *("64 KiB", "1 B", "3 KiB", "16 GB/s", "32 B/cycle", "1 GHz", "7 MHz", "100 ns", "9 cycles"),
    *("c", "a", "input", "int8", "float32", "lenet5", "edge_ws", "horowitz_45nm", "DDR4-2400"),
    *("cycles", "array.rows", "1000000000000000 GB/s", "0.000000000000001 B", "$p", "x" * 300),
)
SHAPES = """name: shapes
input: {channels: 4, height: 6, width: 6}
blocks:
  b: {parameters: [p], layers: {d: {op: conv, out_channels: $p, kernel: 1}}}
layers:
  c: {op: conv, out_channels: 4, kernel: 3, padding: 1}
  e: {op: b, p: 4}
  a: {op: add, inputs: [c, e]}
  f: {op: dense, out_features: 8}
"""
POINTS = """name: s
networks: [tiny.yaml]
base: edge_ws
matrix: {array.rows: [8, 16], dram.bandwidth: [1 GB/s, 2 GB/s]}
objectives: {cycles: min}
"""


class Raw(str):
    """A value as it stands in YAML."""


@cache
def schema_of(kind: str) -> Schema:
    """What `accelsim schema` prints."""
    printed = io.StringIO()
    with suppress(SystemExit), redirect_stdout(printed):
        app(["schema", kind], prog_name="accelsim")
    found: Schema = json.loads(printed.getvalue())
    return found


class Drawn:
    """Values that a schema allows, or in `odd` of the cases anything."""

    def __init__(self, schema: Schema, draw: Random, odd: float) -> None:
        self.defs, self.draw, self.odd = schema.get("$defs", {}), draw, odd

    def plain(self, schema: Schema) -> Schema:
        """The schema itself, with one of its choices taken."""
        while True:
            if "$ref" in schema:
                schema = self.defs[schema["$ref"].rpartition("/")[2]]
            elif choices := schema.get("anyOf") or schema.get("oneOf"):
                schema = self.draw.choice(choices)
            else:
                return schema

    def value(self, schema: Schema, depth: int = 0) -> Any:
        draw, schema = self.draw, self.plain(schema)
        if draw.random() < self.odd or depth > 8:
            return Raw(draw.choice(SCALARS))
        if "const" in schema or "enum" in schema:
            return draw.choice(schema.get("enum") or [schema["const"]])
        kind = schema.get("type")
        if kind in ("integer", "number"):
            least = schema.get("minimum", schema.get("exclusiveMinimum", -2))
            most = schema.get("maximum", schema.get("exclusiveMaximum", 1000))
            near = draw.choice((least, least + 1, least + 2, 3, 4, 8, 64, most, most + 1))
            return near + 0.5 if kind == "number" and draw.random() < 0.3 else near
        if kind == "string":
            return draw.choice((*schema.get("examples", ()), *TEXTS))
        if kind == "array":
            items = schema.get("items") or draw.choice(schema.get("prefixItems") or [{}])
            return [self.value(items, depth + 1) for _ in range(draw.randint(0, 3))]
        if kind == "object":
            return self.of_keys(schema, depth)
        return draw.choice((True, False)) if kind == "boolean" else None

    def of_keys(self, schema: Schema, depth: int) -> dict[str, Any]:
        """A mapping with what it needs, some of what it may have, and names of its own."""
        known, needed = schema.get("properties", {}), schema.get("required", ())
        made = {
            key: self.value(inner, depth + 1)
            for key, inner in known.items()
            if (key in needed and self.draw.random() > self.odd) or self.draw.random() < 0.15
        }
        others = schema.get("additionalProperties")
        if isinstance(others, Mapping):
            for _ in range(self.draw.randint(0, 2)):
                made[self.draw.choice((*TEXTS, *NAMES))] = self.value(others, depth + 1)
        return made

    def grafted(self, schema: Schema, document: Any) -> Any:
        """The document with one key somewhere set, or taken away."""
        schema = self.plain(schema)
        if not isinstance(document, dict) or schema.get("type", "object") != "object":
            return self.value(schema)
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        names = [*known, *document] or [self.draw.choice(NAMES)]
        key = self.draw.choice(names)
        inner = known.get(key, others if isinstance(others, Mapping) else {})
        if key in document and self.draw.random() < 0.05:
            return {name: value for name, value in document.items() if name != key}
        if key in document and self.draw.random() < 0.7:
            return document | {key: self.grafted(inner, document[key])}
        return document | {key: self.value(inner)}


def written(value: Any) -> str:
    """A value in one line of YAML."""
    if isinstance(value, Raw):
        return value
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(key)}: {written(it)}' for key, it in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return json.dumps(value)


def _networks(run: bool) -> Sequence[tuple[str, ...]]:
    if run:
        return (("run", "m.yaml", "edge_ws"), ("verify", "m.yaml", "edge_ws"))
    return (("show", "m.yaml"), ("show", "m.yaml", "--train"))


def _hardware(run: bool) -> Sequence[tuple[str, ...]]:
    if not run:
        return (("show", "m.yaml"),)
    return (
        ("run", "tiny.yaml", "m.yaml"),
        ("run", "tiny.yaml", "m.yaml", "--why"),
        ("run", "tiny.yaml", "m.yaml", "--dataflow", "best", "--batch", "3"),
        ("train", "tiny.yaml", "m.yaml"),
        ("explain", "tiny.yaml", "m.yaml", "c"),
    )


def _named(option: str) -> Callable[[bool], Sequence[tuple[str, ...]]]:
    def commands(run: bool) -> Sequence[tuple[str, ...]]:
        return (("run", "tiny.yaml", "edge_ws", "--set", option), ("show", "m.yaml"))

    return commands


FILES: Mapping[str, tuple[Callable[[Random], str], Callable[[bool], Sequence[tuple[str, ...]]]]] = {
    "network": (lambda _: SHAPES, _networks),
    "hardware": (
        lambda draw: shipped("configs", draw.choice(("edge_npu", "eyeriss", "tpu_v3", "tpu_v1"))),
        _hardware,
    ),
    "sweep": (lambda _: POINTS, lambda _: (("sweep", "m.yaml", "--dry-run"),)),
    "energy": (lambda _: shipped("configs/energy", "horowitz_45nm"), _named("energy=m.yaml")),
    "dram": (
        lambda draw: shipped("configs/dram", draw.choice(("DDR4-2400", "HBM2", "LPDDR5-6400"))),
        _named("dram.timing=m.yaml"),
    ),
}
"""What is changed, and what it is given to, which simulates or only shows."""


def schema_case(draw: Random) -> Case:
    kind = draw.choice([*FILES])
    text, commands = FILES[kind]
    document = yaml.safe_load(text(draw))
    schema = schema_of(kind)
    drawn = Drawn(schema, draw, draw.choice((0.0, 0.0, 0.1)))
    for _ in range(draw.randint(1, 4)):
        document = drawn.grafted(schema, document)
    content = written(document).encode("utf-8", "replace")
    command = draw.choice(commands(draw.random() < RUNS * 2))
    return Case("schema", {"m.yaml": content, "tiny.yaml": TINY}, command)


KINDS: Mapping[str, Callable[[Random], Case]] = {"schema": schema_case}
