"""Hostile inputs by grammar: what the schemas allow and beyond, and shipped files with changes.

Every case is a folder of files and the arguments of one command. All is drawn by one generator,
so that a case is named by its number.
"""

import io
import json
import sqlite3
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from accelsim.frontend.builtin import builtin_path

SCALARS: Sequence[str] = (
    *("0", "1", "-1", "3", "16", "2.5", "1e9", "1e99999999", "9" * 400, "010", "1:30", "0x10"),
    *(".nan", ".inf", "-.inf", "true", "null", "~", "''", "'x'", "[]", "{}", "[1, 2]", "{a: 1}"),
    *("64 KiB", "1e400 KiB", "-4 B", "0 B", "16 GB/s", "1 GHz", "100 ns", "1e-300 s", "\u0664 KiB"),
    *("2001-99-99", "!!int x", "!!python/object:os.system x", "*a", "&a b", "<<", "'\\u202e'"),
    *('"\\e[2J"', '"a\\0b"', "same", "valid", "global", "int8", "float16", "int9999", "os", "rs"),
    *("lenet5", "edge_ws", "horowitz_45nm", "w.npz", "/dev/zero", "none.yaml", "x" * 5000),
    *("$input", "$p", "input", "a", "16777216", "99999999999", "[[[[[[[[[[1]]]]]]]]]]"),
)
NAMES: Sequence[str] = (
    *("a", "b", "c1", "input", "", "1", "\u00b2", "a/b", "x" * 300, "=1+1", "@a", "\x1b[2J"),
    *("\u202egnp", "a\nb", "\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace")),
)
OPS: Mapping[str, Sequence[str]] = {
    "conv": ("out_channels", "kernel", "stride", "padding", "groups", "dilation", "bias"),
    "dense": ("out_features", "bias", "activation", "shares"),
    "matmul": ("activation", "transpose_first", "transpose_second", "scale"),
    "pad": ("before", "after", "mode", "value"),
    "maps": ("maps",),
    "connected_conv": ("connections", "kernel", "stride", "padding"),
    "resize": ("size", "mode", "coordinates"),
    "conv_transpose": ("out_channels", "kernel", "stride", "output_padding", "dilation"),
    "local": ("out_channels", "kernel", "stride"),
    "scale_shift": ("shape",),
    "power": ("exponent",),
    "attention": ("heads", "key_heads", "causal"),
    "embedding": ("entries", "features"),
    "position": ("length", "offset"),
    "rotary": ("heads", "base"),
    "layer_norm": ("axes", "epsilon", "bias"),
    "group_norm": ("groups", "epsilon"),
    **dict.fromkeys(("mean", "sum", "max"), ("axes", "keep")),
    **dict.fromkeys(("attention_scores", "attention_context"), ("heads", "key_heads")),
    **dict.fromkeys(("softmax", "concat"), ("axis",)),
    "max_pool": ("kernel", "stride", "padding", "ceil_mode"),
    "avg_pool": ("kernel", "stride", "padding", "count_padding"),
    "reshape": ("shape",),
    "transpose": ("order",),
    "slice": ("start", "stop", "step"),
    "split": ("sizes", "axis"),
    "leaky_relu": ("slope",),
    "lrn": ("size", "alpha", "beta", "bias"),
    "batch_norm": ("epsilon",),
    "dropout": ("rate",),
    **dict.fromkeys(
        ("add", "mul", "flatten", "relu", "sigmoid", "instance_norm", "class_token"), ()
    ),
    "block": ("p", "q"),
}
_OF_TWO = ("add", "mul", "concat", "matmul", "attention_scores", "append")
LIKELY = ("1", "2", "3", "4", "8", "[3, 3]", "same", "global", "true", "0.5", "relu")


RUNS = 0.2
"""Share of the cases that are simulated if they can be read; the others are only shown."""
TINY = b"""name: tiny
input: {channels: 2, height: 4, width: 4}
layers:
  c: {op: conv, out_channels: 2, kernel: 3}
"""
ODD_LETTERS = ("\0", "\x1b", "\t", ":", "{", "*", "\u202e")


@dataclass(frozen=True, slots=True)
class Case:
    """Files to write, and what to call; `kind` says what was done to which input."""

    kind: str
    files: Mapping[str, bytes]
    arguments: tuple[str, ...]


def network_text(draw: Random) -> str:
    """A network file, mostly valid, with a hostile value here and there."""
    odd = draw.choice((0.0, 0.05, 0.3))

    def value() -> str:
        return draw.choice(SCALARS if draw.random() < odd else LIKELY)

    def layer(name: str) -> str:
        op = draw.choice([*OPS])
        wanted = {
            "conv": ["out_channels", "kernel"],
            "dense": ["out_features"],
            "embedding": ["entries", "features"],
        }.get(op, [])
        keys = dict.fromkeys(
            [*wanted, *draw.sample(OPS[op], min(len(OPS[op]), draw.randint(0, 2)))]
        )
        if op.endswith("pool"):
            keys["kernel"] = None
        parts = [f"op: {op if draw.random() > odd else value()}"]
        parts += [f"{key}: {value()}" for key in keys]
        if op in _OF_TWO or draw.random() < 0.1:
            parts.append(f"inputs: [{draw.choice(('a', 'input', 'b'))}, {draw.choice('abc')}]")
        return f"  {json.dumps(name)}: {{{', '.join(parts)}}}"

    names = [f"l{at}" if draw.random() > odd else draw.choice(NAMES) for at in range(6)]
    shape = draw.choice(
        (
            "{channels: 3, height: 16, width: 16}",
            "{features: 32}",
            "{rows: 4, features: 8}",
            "{shape: [2, 3, 4, 5]}",
            f"{{channels: {value()}, height: {value()}, width: {value()}}}",
        )
    )
    lines = [f"name: {value()}", f"input: {shape}"]
    if draw.random() < 0.3:
        body = "\n".join("    " + layer(name).strip() for name in "ab")
        lines += ["blocks:", "  block:", "   parameters: [p, q]", "   layers:", body]
    if draw.random() < odd:
        lines.append(f"{draw.choice(('weights', 'inputs', 'zzz', 'description'))}: {value()}")
    return "\n".join([*lines, "layers:", *map(layer, names[: draw.randint(1, 6)])]) + "\n"


def changed_yaml(draw: Random, text: str) -> str:
    """A shipped file with up to three values, keys or lines changed."""
    lines = text.splitlines()
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(lines))
        line = lines[at]
        how = draw.randrange(6)
        if how == 0 and ":" in line:
            lines[at] = f"{line.partition(':')[0]}: {draw.choice(SCALARS)}"
        elif how == 1:
            lines[at] = line[: draw.randrange(len(line) + 1)]
        elif how == 2:
            lines.insert(at, lines[draw.randrange(len(lines))])
        elif how == 3:
            lines[at] = line.replace(draw.choice("0123456789") or "0", draw.choice(SCALARS), 1)
        elif how == 4:
            lines[at] = " " * draw.randint(0, 4) + line.lstrip()
        else:
            cut = draw.randrange(len(line) + 1)
            lines[at] = (
                line[:cut] + draw.choice(("\0", "\x1b", "\t", ":", "{", "*", "\u202e")) + line[cut:]
            )
    return "\n".join(lines) + "\n"


def changed_bytes(draw: Random, content: bytes) -> bytes:
    """Bytes with some flipped, cut, doubled or put in."""
    raw = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(raw) + 1)
        how = draw.randrange(4)
        if how == 0 and at < len(raw):
            raw[at] ^= 1 << draw.randrange(8)
        elif how == 1 and draw.random() < 0.3:
            del raw[at:]
        elif how == 2:
            raw[at:at] = draw.randbytes(draw.randint(1, 9))
        else:
            raw[at : at + 8] = raw[at // 2 : at // 2 + 8]
    return bytes(raw)


def shipped(kind: Any, name: str) -> str:
    return builtin_path(kind, name).read_text(encoding="utf-8")


def network_case(draw: Random) -> Case:
    if draw.random() < 0.6:
        text = network_text(draw)
    else:
        text = changed_yaml(draw, shipped("workloads", draw.choice(("lenet5", "alexnet"))))
    command = "run n.yaml edge_ws" if draw.random() < RUNS else "show n.yaml"
    return Case("network", {"n.yaml": text.encode("utf-8", "replace")}, tuple(command.split()))


def hardware_case(draw: Random) -> Case:
    name = draw.choice(("edge_ws", "eyeriss", "tpu_v1"))
    text = changed_yaml(draw, shipped("configs", name))
    command = "run tiny.yaml h.yaml" if draw.random() < RUNS else "show h.yaml"
    files = {"h.yaml": text.encode("utf-8", "replace"), "tiny.yaml": TINY}
    return Case("hardware", files, tuple(command.split()))


SETTINGS = (
    *("array.rows", "array.cols", "array.dataflow", "array.count", "clock", "dram.bandwidth"),
    *("dram.latency", "buffers.ifmap_sram.size", "buffers", "energy", "precision.psum", "dram"),
    *("dram.timing", "zzz", "array.zzz.y", "", "precision"),
)


def setting_case(draw: Random) -> Case:
    texts = [f"{draw.choice(SETTINGS)}={draw.choice(SCALARS)}" for _ in range(draw.randint(1, 2))]
    options = [part for text in texts if "\0" not in text for part in ("--set", text)]
    return Case("setting", {"tiny.yaml": TINY}, ("run", "tiny.yaml", "edge_ws", *options))


def energy_case(draw: Random) -> Case:
    text = changed_yaml(draw, shipped("configs/energy", "horowitz_45nm"))
    arguments = ("run", "tiny.yaml", "edge_ws", "--set", "energy=e.yaml")
    files = {"e.yaml": text.encode("utf-8", "replace"), "tiny.yaml": TINY}
    return Case("energy", files, arguments)


def sweep_case(draw: Random) -> Case:
    odd = draw.choice((0.02, 0.2))

    def value() -> str:
        likely = ("8", "16", "[8, 16]", "{range: [8, 16, 4]}", "{pow2: [8, 32]}", "[os, ws]")
        return draw.choice(SCALARS if draw.random() < odd else likely)

    keys = draw.sample((*SETTINGS, "batch", "network", "dataflow", "hardware"), draw.randint(1, 3))
    lines = ["name: s", "networks: [lenet5]", "base: edge_ws", "matrix:"]
    lines += [f"  {key or 'x'}: {value()}" for key in keys]
    for key in draw.sample(("exclude", "include", "objectives", "constraints", "search"), 2):
        if draw.random() < 0.5:
            lines.append(f"{key}: {draw.choice(('[{array.rows: 8}]', '{cycles: min}', value()))}")
    if draw.random() < odd:
        lines[draw.randrange(3)] = f"{draw.choice(('name', 'networks', 'base'))}: {value()}"
    content = "\n".join(lines).encode("utf-8", "replace") + b"\n"
    return Case("sweep", {"s.yaml": content}, ("sweep", "s.yaml", "--dry-run"))


HEADER = (
    "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, "
    "Strides,"
)
CELLS = (
    *("1", "3", "8", "32", "", "-1", "0", "1e3", "\u00b2", "x" * 200_000, "999999999999999999"),
    *('"', "a,b"),
)


def topology_case(draw: Random) -> Case:
    def cell() -> str:
        return draw.choice(CELLS[:4] if draw.random() < 0.8 else CELLS)

    count = draw.randint(0, 5)
    rows = [",".join([draw.choice(NAMES), *(cell() for _ in range(7))]) for _ in range(count)]
    text = "\n".join([HEADER if draw.random() < 0.8 else "Layer, M, N, K,", *rows])
    command = "run t.csv edge_ws" if draw.random() < RUNS else "show t.csv"
    content = text.encode("utf-8", "replace")
    if draw.random() < 0.2:
        content = changed_bytes(draw, content)
    return Case("topology", {"t.csv": content}, tuple(command.split()))


NPZ_NETWORK = b"""name: n
input: {channels: 2, height: 8, width: 8}
weights: w.npz
layers:
  c: {op: conv, out_channels: 4, kernel: 3}
"""
ODD_ARRAYS = (
    *(np.zeros(0), np.ones(3, "U4"), np.full((4, 2, 3, 3), np.nan), np.ones(4, bool)),
    *(np.ones((2, 2), complex), np.ones((5, 2, 8, 8), np.int16), np.ones(4, "M8[s]")),
)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2)


def weights_case(draw: Random) -> Case:
    file = io.BytesIO()
    weight, bias = np.ones((4, 2, 3, 3), np.int8), np.zeros(4, np.int32)
    arrays: dict[str, Any] = {"c.weight": weight, "c.bias": bias}
    if draw.random() < 0.5:
        arrays[draw.choice(("c.weight", "c.bias", "input", "zzz"))] = draw.choice(ODD_ARRAYS)
    with zipfile.ZipFile(file, "w", draw.choice(METHODS)) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array)
            content = member.getvalue()
            archive.writestr(
                f"{name}.npy", changed_bytes(draw, content) if draw.random() < 0.3 else content
            )
    content = file.getvalue()
    if draw.random() < 0.6:
        content = changed_bytes(draw, content)
    return Case(
        "weights", {"n.yaml": NPZ_NETWORK, "w.npz": content}, ("verify", "n.yaml", "edge_ws")
    )


def changed_json(draw: Random, value: Any, depth: int = 0) -> Any:
    """JSON with one value somewhere replaced."""
    if isinstance(value, (dict, list)) and value and (depth == 0 or draw.random() < 0.8):
        keys = [*value] if isinstance(value, dict) else [*range(len(value))]
        key = draw.choice(keys)
        if draw.random() < 0.1 and isinstance(value, dict):
            return {name: inner for name, inner in value.items() if name != key}
        copy: Any = dict(value) if isinstance(value, dict) else list(value)
        copy[key] = changed_json(draw, value[key], depth + 1)
        return copy
    return draw.choice(
        (None, True, -1, 0, 10**400, 1e308, float("nan"), "x", "", [], {}, [1], {"a": 1})
    )


def run_case(run: bytes) -> Callable[[Random], Case]:
    def make(draw: Random) -> Case:
        if draw.random() < 0.7:
            content = json.dumps(changed_json(draw, json.loads(run))).encode()
        else:
            content = changed_bytes(draw, run)
        names = draw.sample(("a.json", "m.json"), 2)
        return Case("run", {"a.json": run, "m.json": content}, ("diff", *names))

    return make


UPDATES = (
    "UPDATE about SET value={value} WHERE key={key}",
    "DELETE FROM about WHERE key={key}",
    "UPDATE members SET parameters={value}",
    "UPDATE members SET batch={value}",
    "UPDATE outcomes SET quantities={value}",
    "UPDATE outcomes SET result={value}",
    "UPDATE outcomes SET error=CAST(x'ff41' AS TEXT)",
    "UPDATE outcomes SET key={value} WHERE rowid=1",
    "DROP TABLE outcomes",
    "ALTER TABLE outcomes DROP COLUMN hardware",
    "CREATE VIEW v AS SELECT 1",
    "PRAGMA user_version = 9",
)


def results_case(stored: bytes, folder: Path) -> Callable[[Random], Case]:
    def make(draw: Random) -> Case:
        content = stored
        if draw.random() < 0.5:
            content = changed_bytes(draw, stored)
        else:
            path = folder / "changed.sqlite"
            path.write_bytes(stored)
            key = draw.choice(("'constraints'", "'objectives'", "'name'", "'version'"))
            value = draw.choice(("5", "'{'", "NULL", "x'0102'", "'[]'", "1e999", "'x'"))
            connection = sqlite3.connect(path, isolation_level=None)
            with suppress(sqlite3.Error):
                connection.execute(draw.choice(UPDATES).format(key=key, value=value))
            connection.close()
            content = path.read_bytes()
        options = draw.choice((("--csv", "o.csv", "--by-layer"), ("--json", "-"), ()))
        return Case("results", {"m.sqlite": content}, ("results", "m.sqlite", *options))

    return make


PATHS = (
    "x" * 300,
    ".",
    "/",
    "",
    "/dev/zero",
    "none/x.yaml",
    "d.yaml",
    "a.yaml/b.yaml",
    "\u202e.yaml",
    "~",
    "-",
    "f.yaml",
)


def path_case(draw: Random) -> Case:
    path = draw.choice(PATHS)
    forms = (
        *(("show", path), ("run", path, "edge_ws"), ("results", path), ("diff", path, path)),
        *(("run", "lenet5", path), ("sweep", path, "--dry-run")),
        ("run", "lenet5", "edge_ws", "--json", path),
    )
    return Case("path", {}, ("show", path) if path == "-" else draw.choice(forms))
