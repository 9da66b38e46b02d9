"""SCALE-Sim topology files: every row is a convolution or a GEMM, independent of the others.

A row becomes one layer that reads its own network input, called `<layer>/ifmap`, has no bias
and no activation. Rows with the same name, which SCALE-Sim allows, become `name`, `name_2`,
`name_3`. Commas, semicolons or tabs are between cells. The columns are found by their headers,
however spaced, so their order does not matter; where one is empty, or there twice in the place of
another size of a convolution, they are those of SCALE-Sim, which reads by place. What a spreadsheet
leaves behind a row, empty cells, is nothing, and so are a last column without any value and, as a
title, a row of a name and empty cells.

A sparsity N:M says that N of every M weights in a row are not zero: N:N is dense, and there are no
others here.

The batch of a convolution is the images it takes at a time. That of a GEMM, which SCALE-Sim also
writes in the place of the sparsity, is so many products, each of two matrices of its own. As in
SCALE-Sim, a convolution with DP in its name is depthwise: each channel has so many filters of its
own.

SCALE-Sim counts ceil((n - f + s)/s) windows, one more than fit where the stride leaves a rest.
The ifmap is padded below and on the right by that rest, which gives the same count.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from accelsim.errors import InputError, Problem
from accelsim.frontend.findings import unknown
from accelsim.frontend.source import read_text
from accelsim.network.graph import LayerSpec, Network, build_network
from accelsim.network.ops import Conv, Dense, MatMul, Op, Shape
from accelsim.network.ops.fields import LARGEST_BATCH, LARGEST_SIZE

_CONV = ("ifmap height", "ifmap width", "filter height", "filter width", "channels", "num filter")
_STRIDE = ("stride height", "stride width")
_GEMM = ("m", "n", "k")
_DEPTHWISE = "DP"
_SYNONYMS: Mapping[str, str] = {
    "l": "layer",
    "layer name": "layer",
    "num filters": "num filter",
    "channel": "channels",
    "batch size": "batch",
    "sparsity ratio": "sparsity",
    "strides": "stride",
    "stride h": "stride height",
    "stride w": "stride width",
}
_KNOWN = ("layer", *_CONV, "stride", *_STRIDE, *_GEMM, "batch", "sparsity")
_NUMBERS = (*_CONV, "stride", *_STRIDE, *_GEMM, "batch")
_MAY_BE_EMPTY = ("batch", "sparsity")
_SEPARATORS = (",", ";", "\t")
_FORMS = (
    "expected 'Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, "
    "Num Filter, Strides,' or 'Layer, M, N, K,'"
)


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the file, its cells by column."""

    line: int
    cells: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.cells.get("layer", "")

    @property
    def numbers(self) -> dict[str, int]:
        """The cells that hold numbers; one image at a time where the row does not say."""
        found = {name: int(cell) for name, cell in self.cells.items() if name in _NUMBERS and cell}
        return {"batch": self.products or 1, **found}

    @property
    def products(self) -> int:
        """A number of GEMMs in the place of the sparsity; 0 where there is none."""
        said = self.cells.get("sparsity", "")
        return int(said) if "m" in self.cells and _is_positive(said) else 0


def load_scalesim_csv(path: Path) -> Network:
    """Read a topology file; raises InputError with everything that is wrong in it."""
    source = str(path)
    text = read_text(path)
    lines = list(_lines(text, source, _separator(text)))
    if not lines:
        raise InputError(
            Problem(
                message="the file is empty; it needs a header and a row for each layer",
                source=source,
                line=1,
            )
        )
    (header_line, header), *rest = lines
    columns = _by_place([*map(_column, header)])
    columns = _without_empty(columns, [cells for _, cells in rest])
    rest = [(line, _without_twin(cells, columns)) for line, cells in rest]
    problems = [
        Problem(message=message, source=source, line=header_line)
        for message in _header_problems(columns)
    ]
    if not problems and not rest:
        problems = [Problem(message="no layers follow the header", source=source, line=header_line)]
    if problems:
        raise InputError(problems)
    rows = [_Row(line, dict(zip(columns, cells, strict=False))) for line, cells in rest]
    problems = [
        Problem(message=message, source=source, line=row.line, key=row.name)
        for row, (_, cells) in zip(rows, rest, strict=True)
        for message in _row_problems(row, columns, len(cells))
    ]
    if problems:
        raise InputError(problems)
    return _network(path.stem, rows)


def _column(header: str) -> str:
    """The column that a header names, however it is spaced and capitalised."""
    name = " ".join(header.lower().replace("_", " ").split())
    return _SYNONYMS.get(name, name)


def _separator(text: str) -> str:
    """What is between the cells of the first line that says anything."""
    said = (content for line in text.splitlines() if (content := line.partition("#")[0].strip()))
    header = next(said, "")
    return max(_SEPARATORS, key=header.count)


def _lines(text: str, source: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and cells, without blank lines, comments, titles and empty cells at the end."""
    columns = 0
    for number, line in enumerate(text.splitlines(), start=1):
        said = line.partition("#")[0]
        content = said.rstrip(f" \t{separator}")
        if not content:
            continue
        try:
            cells = next(csv.reader([content], delimiter=separator, skipinitialspace=True))
        except csv.Error:  # a cell of more than 128 KiB
            raise InputError(
                Problem(message="no row of a topology file", source=source, line=number)
            ) from None
        columns = columns or len(cells)
        if len(cells) > 1 or separator not in said:
            yield number, [cell.strip() for cell in cells]


def _by_place(columns: list[str]) -> list[str]:
    """`columns`; where one is empty or there twice, SCALE-Sim's, if the others are in its order.

    M, N and K are no names that stand for another, nor is any in the place of the sparsity.
    """
    gemm = "m" in columns
    odd = [not name or (not gemm and columns.count(name) > 1) for name in columns]
    usual = ("layer", *(_GEMM if gemm else (*_CONV, *_strides_of(columns))), "sparsity")
    pairs = zip(columns, usual, odd, strict=False)
    if not any(odd) or len(columns) > len(usual):
        return columns
    fits = all(
        name == expected or (strange and expected != "sparsity")
        for name, expected, strange in pairs
    )
    return [*usual[: len(columns)]] if fits else columns


def _without_empty(columns: list[str], rows: list[list[str]]) -> list[str]:
    """`columns` without those at the end that are not known and have no value in any row."""
    widest = max(map(len, rows), default=len(columns))
    unknown_last = len(columns) > widest and columns[-1] not in _KNOWN
    return _without_empty(columns[:-1], rows) if unknown_last else columns


def _strides_of(columns: list[str]) -> tuple[str, ...]:
    """One stride or two, as the columns have it."""
    both = columns.count("stride") > 1 or set(_STRIDE) & set(columns)
    return _STRIDE if both else ("stride",)


def _without_twin(cells: list[str], columns: list[str]) -> list[str]:
    """`cells` of a row that says its stride twice, down and across, under one header."""
    twice = columns[-1] == "stride" and len(cells) == len(columns) + 1 and cells[-1] == cells[-2]
    return cells[:-1] if twice else cells


def _header_problems(columns: list[str]) -> Iterator[str]:
    if "layer" not in columns or not {"m", "ifmap height"} & set(columns):
        yield f"this is no SCALE-Sim header; {_FORMS}"
        return
    for at, name in enumerate(columns, start=1):
        if name in columns[: at - 1] and name:
            continue
        if not name:
            yield f"column {at} has no name, but values; {_FORMS}"
        elif name not in _KNOWN:
            yield unknown("column", name, _KNOWN)
        elif columns.count(name) > 1:
            yield f"the column {name!r} is there twice"
    for name in _missing(columns):
        yield f"the column {name!r} is missing; {_FORMS}"


def _missing(columns: list[str]) -> list[str]:
    if "m" in columns:
        return [name for name in _GEMM if name not in columns]
    strides = _STRIDE if set(_STRIDE) & set(columns) else ("stride",)
    return [name for name in (*_CONV, *strides) if name not in columns]


def _row_problems(row: _Row, columns: list[str], cells: int) -> Iterator[str]:
    """What is wrong with one row, in words."""
    needed = [name for name in columns if name not in ("layer", *_MAY_BE_EMPTY)]
    given = [name for name in _MAY_BE_EMPTY if name in _NUMBERS and row.cells.get(name)]
    if not row.name:
        yield "the layer has no name"
    if cells > len(columns):
        yield f"{cells} values for {len(columns)} columns"
    wrong = [name for name in (*needed, *given) if not _is_positive(row.cells.get(name, ""))]
    absent = [name for name in wrong if name not in row.cells]
    if absent:
        yield f"{', '.join(absent)}: expected a whole number above 0, found nothing"
    for name in wrong:
        if name in row.cells:
            yield f"{name}: expected a whole number above 0, found {row.cells[name]!r}"
    yield from _beyond_limits(row, [name for name in (*needed, *given) if name not in wrong])
    if "m" not in columns and not wrong:
        yield from _window_problems(row)
    sparsity = "" if row.products else row.cells.get("sparsity", "")
    kept, _, of = sparsity.partition(":")
    if sparsity and not (_is_positive(kept) and _is_positive(of) and int(kept) <= int(of)):
        yield f"sparsity: expected N:M, N of every M weights are not zero, found {sparsity!r}"
    elif sparsity and int(kept) < int(of):
        yield f"sparsity {sparsity} is not supported; leave it empty for a dense layer"


def _beyond_limits(row: _Row, names: Iterable[str]) -> Iterator[str]:
    """Sizes and batches that no network may have."""
    for name in names:
        most = LARGEST_BATCH if name == "batch" and "m" not in row.cells else LARGEST_SIZE
        if int(row.cells[name]) > most:
            yield f"{name}: at most {most:,}, found {row.cells[name]!r}"


def _is_positive(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19 and int(text) > 0


def _window_problems(row: _Row) -> Iterator[str]:
    for axis in ("height", "width"):
        ifmap, kernel = int(row.cells[f"ifmap {axis}"]), int(row.cells[f"filter {axis}"])
        if kernel > ifmap:
            yield f"filter {axis} {kernel} is larger than ifmap {axis} {ifmap}"


def _network(name: str, rows: list[_Row]) -> Network:
    inputs: dict[str, Shape] = {}
    specs: list[LayerSpec] = []
    images: dict[str, int] = {}
    layers = _distinct([row.name for row in rows])
    taken = [*layers]
    for row, layer in zip(rows, layers, strict=True):
        shapes, op = _gemm(row.numbers) if "m" in row.numbers else _conv(row)
        names = _distinct([f"{layer}/{each}" for each in ("ifmap", "filter")[: len(shapes)]], taken)
        taken += names
        inputs |= dict(zip(names, shapes, strict=True))
        specs.append(LayerSpec(layer, op, tuple(names)))
        images[layer] = 1 if "m" in row.numbers else row.numbers["batch"]
    network = build_network(name, inputs, specs, description="SCALE-Sim topology")
    return replace(network, images=images)


def _distinct(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """The names, those met before or `taken` with the first free number."""
    distinct = dict.fromkeys(taken)
    before = len(distinct)
    counts: dict[str, int] = {}
    for name in names:
        candidate = name
        while candidate in distinct:
            counts[name] = counts.get(name, 1) + 1
            candidate = f"{name}_{counts[name]}"
        distinct[candidate] = None
    return list(distinct)[before:]


def _gemm(row: Mapping[str, int]) -> tuple[list[Shape], Op]:
    """ofmap (M, N) = ifmap (M, K) times filter (K, N), or a batch of such."""
    m, n, k, batch = (row[name] for name in (*_GEMM, "batch"))
    if batch == 1:
        return [(m, k)], Dense(out_features=n, bias=False)
    return [(batch, m, k), (batch, k, n)], MatMul()


def _conv(given: _Row) -> tuple[list[Shape], Op]:
    row = given.numbers
    ifmap = row["ifmap height"], row["ifmap width"]
    kernel = row["filter height"], row["filter width"]
    both = row.get("stride", 0)
    stride = row.get("stride height", both), row.get("stride width", both)
    below, right = (-(n - f) % s for n, f, s in zip(ifmap, kernel, stride, strict=True))
    groups = row["channels"] if _DEPTHWISE in given.name else 1
    op = Conv(
        out_channels=groups * row["num filter"],
        kernel=kernel,
        stride=stride,
        padding=(0, below, 0, right),
        groups=groups,
        bias=False,
    )
    return [(row["channels"], *ifmap)], op
