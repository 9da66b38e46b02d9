"""SCALE-Sim topology files: rows as layers, its count of windows, and every mistake's line."""

from dataclasses import replace
from math import ceil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accelsim.errors import InputError
from accelsim.frontend.scalesim_csv import load_scalesim_csv
from accelsim.network.graph import Network

CONV = (
    "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter,"
    " Strides,\n"
)
GEMM = "Layer, M, N, K,\n"
NO_RATIO = "sparsity: expected N:M, N of every M weights are not zero, found"


def load(folder: Path, text: str) -> Network:
    path = folder / "topology.csv"
    path.write_bytes(text.encode())
    return load_scalesim_csv(path)


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(folder, text)
    source = str(folder / "topology.csv")
    return [str(problem).removeprefix(source) for problem in caught.value.problems]


def test_conv_rows_are_independent(tmp_path: Path) -> None:
    network = load(
        tmp_path, CONV + "Conv1, 227, 227, 11, 11, 3, 96, 4,\nFC, 1, 1, 1, 1, 512, 10, 1,\n"
    )
    assert network.name == "topology"
    assert network.inputs == {"Conv1/ifmap": (3, 227, 227), "FC/ifmap": (512, 1, 1)}
    assert [(layer.name, layer.inputs, layer.output_shape) for layer in network.layers] == [
        ("Conv1", ("Conv1/ifmap",), (96, 55, 55)),
        ("FC", ("FC/ifmap",), (10, 1, 1)),
    ]
    assert [layer.macs for layer in network.layers] == [96 * 55 * 55 * 3 * 11 * 11, 5120]
    assert network.layers[0].parameters == 96 * 3 * 11 * 11  # no bias


def test_gemm_rows(tmp_path: Path) -> None:
    network = load(tmp_path, GEMM + "qkv, 128, 768, 64,\n")
    (layer,) = network.layers
    assert (layer.input_shapes, layer.output_shape) == (((128, 64),), (128, 768))
    assert (layer.macs, layer.parameters) == (128 * 768 * 64, 768 * 64)


@pytest.mark.parametrize(
    "text",
    [
        GEMM.replace(",\n", "\n") + "a,1,2,3",
        "\ufeff" + GEMM.replace("\n", "\r\n") + "\r\n# a comment\r\n ,,,\r\na, 1, 2, 3, # why\r\n",
        "K,M,Layer,N\n3,1,a,2\n",
        "Layer, M, N, K, Sparsity,\na, 1, 2, 3, 4:4,\n",
        "Layer, M, N, K, Sparsity,\na, 1, 2, 3,\n",
        "Layer, M, N, K,,,,\na, 1, 2, 3,,,,,,\n",
        "Layer, M, N, K\na, 1, 2, 3, , ,\t\n",
        "Layer, M, N, K, Batch Size, Sparsity Ratio,\na, 1, 2, 3,,1:1,,\n",
    ],
    ids=[
        *("no last comma", "bom crlf comments", "other order", "dense sparsity", "none"),
        *("a spreadsheet's empty columns", "empty cells behind a row", "no batch"),
    ],
)
def test_forms_that_mean_the_same(tmp_path: Path, text: str) -> None:
    network = load(tmp_path, text)
    (layer,) = network.layers
    assert (layer.name, layer.input_shapes, layer.output_shape) == ("a", ((1, 3),), (1, 2))
    assert network.images == {"a": 1}


def test_repeated_names_get_numbers(tmp_path: Path) -> None:
    rows = "".join(f"{name}, 1, 2, 3,\n" for name in ("a", "a", "b", "a", "a_2"))
    names = [layer.name for layer in load(tmp_path, GEMM + rows).layers]
    assert names == ["a", "a_2", "b", "a_3", "a_2_2"]


def test_a_layer_called_as_the_ifmap_of_another(tmp_path: Path) -> None:
    """Network inputs have names, too; where these are taken, they step aside."""
    rows = "".join(f"{name}, 1, 2, 3,\n" for name in ("a", "a/ifmap", "a/ifmap_2"))
    network = load(tmp_path, GEMM + rows)
    assert [layer.name for layer in network.layers] == ["a", "a/ifmap", "a/ifmap_2"]
    assert [*network.inputs] == ["a/ifmap_3", "a/ifmap/ifmap", "a/ifmap_2/ifmap"]


def test_digits_of_other_scripts_are_letters_of_a_name(tmp_path: Path) -> None:
    (layer,) = load(tmp_path, CONV + "²,8,8,3,3,3,8,1,\n").layers
    assert layer.name == "²"


def test_a_name_that_starts_with_dp_is_depthwise(tmp_path: Path) -> None:
    """SCALE-Sim's topology_utils: one layer per channel, each with all of the filters."""
    rows = "DP1, 14, 14, 3, 3, 8, 2, 1,\nfull, 14, 14, 3, 3, 8, 2, 1,\nadp, 9, 9, 3, 3, 4, 1, 1,\n"
    depthwise, full, other = load(tmp_path, CONV + rows).layers
    assert (depthwise.output_shape, full.output_shape) == ((16, 12, 12), (2, 12, 12))
    assert depthwise.macs == full.macs == 12 * 12 * 9 * 8 * 2
    assert depthwise.op == replace(full.op, out_channels=16, groups=8)
    assert other.output_shape == (1, 7, 7)
    assert load(tmp_path, GEMM + "DP, 1, 2, 3,\n").layers[0].output_shape == (1, 2)


def test_a_row_has_a_batch_of_its_own(tmp_path: Path) -> None:
    header = CONV.replace("Strides", "Strides, Batch")
    rows = "a, 8, 9, 3, 3, 3, 16, 1, 4,\nb, 8, 9, 3, 3, 3, 16, 1,,\n"
    network = load(tmp_path, header + rows)
    assert network.images == {"a": 4, "b": 1}
    assert [(part.layers[0].name, images) for part, images in network.parts(3)] == [
        *(("a", 12), ("b", 3))
    ]


@given(
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    kernel=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    stride=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_ofmap_is_scalesims(
    tmp_path_factory: pytest.TempPathFactory,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
) -> None:
    """out = ceil((n - f + s) / s) on each axis (SCALE-Sim's topology_utils)."""
    if any(f > n for n, f in zip(size, kernel, strict=True)):
        return
    header = CONV.replace("Strides", "Stride Height, Stride Width")
    row = ", ".join(map(str, ("x", *size, *kernel, 2, 3, *stride)))
    (layer,) = load(tmp_path_factory.mktemp("csv"), f"{header}{row},\n").layers
    windows = [ceil((n - f + s) / s) for n, f, s in zip(size, kernel, stride, strict=True)]
    assert layer.output_shape == (3, *windows)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [":1: the file is empty"]),
        ("\n# nothing\n", [":1: the file is empty"]),
        (GEMM, [":1: no layers follow the header"]),
        ("\na, 1, 2, 3,\n", [":2: this is no SCALE-Sim header; expected 'Layer name, "]),
        (GEMM + "x" * 2**18 + ", 1, 2, 3,\n", [":2: no row of a topology file"]),
        ("Layer, M, N,\na, 1, 2,\n", [":1: the column 'k' is missing; expected 'Layer name, "]),
        (
            "Layer, M, N, N, K, Bias,\na, 1, 2, 2, 3, 4,\n",
            [
                ":1: the column 'n' is there twice",
                ":1: unknown column 'bias'; ",
            ],
        ),
        (
            CONV + "ok, 8, 8, 3, 3, 1, 1, 1,\n\n"
            "a, 8, 8, 9, 3, 1, 1, 1,\n"
            "b, 8, 8, 3, 3, 1, 1,\n"
            "c, 8, x, 3, 3, 0, -1, 1.5,\n"
            ", 8, 8, 3, 3, 1, 1, 1,\n"
            "d, 8, 8, 3, 3, 1, 1, 1, 1, 1,\n"
            "Block two\n"
            "e, 2147483649, 8, 3, 3, 1, 1, 1,\n",
            [
                ":4: a: filter height 9 is larger than ifmap height 8",
                ":5: b: stride: expected a whole number above 0, found nothing",
                ":6: c: ifmap width: expected a whole number above 0, found 'x'",
                ":6: c: channels: expected a whole number above 0, found '0'",
                ":6: c: num filter: expected a whole number above 0, found '-1'",
                ":6: c: stride: expected a whole number above 0, found '1.5'",
                ":7: the layer has no name",
                ":8: d: 10 values for 8 columns",
                ":9: Block two: ifmap height, ifmap width, filter height, filter width, channels, "
                "num filter, stride: expected a whole number above 0, found nothing",
                ":10: e: ifmap height: at most 2,147,483,648, found '2147483649'",
            ],
        ),
        (
            "Layer, M, N, K, Batch,\na, 1, 2, 3, 0,\nb, 1, 2, 3, four,\nc, 1, 2, , 4,\n",
            [
                ":2: a: batch: expected a whole number above 0, found '0'",
                ":3: b: batch: expected a whole number above 0, found 'four'",
                ":4: c: k: expected a whole number above 0, found ''",
            ],
        ),
        (
            "Layer, M, N, K, Sparsity,\na, 1, 2, 3, 2:4,\n",
            [":2: a: sparsity 2:4 is not supported; leave it empty for a dense layer"],
        ),
        *(
            (
                f"Layer, M, N, K, Sparsity,\nok, 1, 2, 3, 4:4,\na, 1, 2, 3, {nonsense},\n",
                [f":3: a: {NO_RATIO} '{nonsense}'"],
            )
            for nonsense in ("0:0", "0:4", "4:2", "-4:-4", "x:x", ":", "1:1:1", "0", "1.5", "dense")
        ),
        (
            f"{CONV.rstrip()} Sparsity,\na,8,8,3,3,3,4,1, 0:0\nb,8,8,3,3,3,4,1, 4\n",
            [f":2: a: {NO_RATIO} '0:0'", f":3: b: {NO_RATIO} '4'"],
        ),
        ("Layer, M, N, K, M,\na, 1, 2, 3, 4,\n", [":1: the column 'm' is there twice"]),
        (
            "Layer, M, M, K,\na, 1, 2, 3,\n",
            [":1: the column 'm' is there twice", ":1: the column 'n' is missing"],
        ),
        (
            f"{CONV.rstrip()} Channels,\na, 8, 8, 3, 3, 3, 4, 1, 1:1,\n",
            [":1: the column 'channels' is there twice"],
        ),
    ],
)
def test_mistakes(tmp_path: Path, text: str, expected: list[str]) -> None:
    found = faults(tmp_path, text)
    assert len(found) == len(expected)
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start)


MEANT = f"{CONV}a, 8, 8, 3, 3, 4, 5, 2,\nb, 9, 9, 1, 1, 4, 6, 1,\n"


@pytest.mark.parametrize(
    "text",
    [
        MEANT.replace(",", ";"),
        MEANT.replace(", ", "\t").replace(",", "\t"),
        MEANT.replace("2,\nb", "2, 2\nb"),  # MLPerf Tiny's, whose first row ends so
        MEANT.replace("IFMAP Width", "IFMAP Height"),
        MEANT.replace("IFMAP Width", " ifmap_width").replace("Num Filter", "NUM  filter"),
        MEANT.replace("IFMAP Width", ""),
        MEANT.replace("Strides,", "Strides, Strides,")
        .replace("2,\nb", "2, 2,\nb")
        .replace("1,\n", "1, 1,\n"),
        MEANT.replace("a, 8", "first part,,,,,,,\na, 8"),
        MEANT.replace("\na", "\n\n# rows\na"),
    ],
)
def test_what_people_write_means_the_same(tmp_path: Path, text: str) -> None:
    def read(name: str, content: str) -> object:
        path = tmp_path / name / "same.csv"
        path.parent.mkdir()
        path.write_text(content)
        return load_scalesim_csv(path)

    assert read("one", text) == read("other", MEANT)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("2,\nb", "2, 3\nb", "9 values for 8 columns"),
        (
            "IFMAP Height, IFMAP Width, Filter Height",
            "IFMAP Width, IFMAP Height, Channels",
            "'channels' is there twice",
        ),
        ("a, 8, 8, 3, 3, 4, 5, 2,", "a", "expected a whole number above 0, found nothing"),
    ],
)
def test_what_is_not_clear_is_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    path = tmp_path / "unclear.csv"
    path.write_text(MEANT.replace(old, new))
    with pytest.raises(InputError) as caught:
        load_scalesim_csv(path)
    assert told in str(caught.value)


def test_dp_anywhere_in_a_name_is_depthwise(tmp_path: Path) -> None:
    path = tmp_path / "dp.csv"
    path.write_text(MEANT.replace("a, 8", "MobileDP1, 8"))
    op = load_scalesim_csv(path).layers[0].op
    assert (op.groups, op.out_channels) == (4, 20)


CONV_HEADER = CONV.removesuffix(",\n")
KINDS = {  # of the files that SCALE-Sim's versions 1 to 3 ship, each in a row or two of our own
    "as its manual says": CONV + "c, 8, 8, 3, 3, 3, 4, 1,\n",
    "no comma at the end": CONV_HEADER + "\nc,8,8,3,3,3,4,1",
    "blank lines between rows": CONV + "\nc, 8, 8, 3, 3, 3, 4, 1,\n\n\n",
    "a row of nothing but commas": CONV + ",,,,,,,,\nc,8,8,3,3,3,4,1,\n",
    "spaces behind the last comma": CONV + "c, 8, 8, 3, 3, 3, 4, 1, \n",
    "a comment behind a row": CONV + "c,8,8,3,3,3,4,1,#dw\n",
    "lower case, filters": CONV.lower().replace("num filter", "num filters") + "c,8,8,3,3,3,4,1,\n",
    "one channel": CONV.replace("Channels", "Channel") + "c,8,8,3,3,3,4,1,\n",
    "tabs": CONV_HEADER.replace(",", "\t") + "\t \nc\t8\t8\t3\t3\t3\t4\t1\t\n",
    "semicolons": CONV_HEADER.replace(",", ";") + ";\nc;8;8;3;3;3;4;1;\n",
    "a stride said twice in a row": CONV + "c, 8, 8, 3, 3, 3, 4, 1, 1\n",
    "two columns of one name": CONV_HEADER + ", Strides,\nc, 8, 8, 3, 3, 3, 4, 1, 1,\n",
    "a column without a name": CONV.replace("Channels", "") + "c, 8, 8, 3, 3, 3, 4, 1,\n",
    "a title above rows": CONV + "Forward,,,,,,,,\nc, 8, 8, 3, 3, 3, 4, 1,\n",
    "a title and one comma": CONV + "\nForward,\nc, 8, 8, 3, 3, 3, 4, 1,\n",
    "a batch": CONV_HEADER + ", Batch Size\nc, 8, 8, 3, 3, 3, 4, 1, 1\n",
    "a last column without values": CONV_HEADER + ", Target\nc, 8, 8, 3, 3, 3, 4, 1,\n",
    "one layer's name behind a tab": CONV + "\tc, 8, 8, 3, 3, 3, 4, 1,\n",
    "dense sparsity": CONV_HEADER + ", Sparsity,\nc, 8, 8, 3, 3, 3, 4, 1, 2:2,\n",
}
REFUSED = {
    "letters to be filled in": ("c, 1, B, 1, 1, H, H, 1,\n", ":2: c: ifmap width: expected"),
    "a malformed cell": ("c, 1, 1, 1, ,1 2, 2, 1,\n", ":2: c: filter width: expected"),
    "a filter above its ifmap": ("c, 8, 2, 3, 3, 3, 4, 1,\n", "filter width 3 is larger"),
    "sparse weights": ("c, 8, 8, 3, 3, 3, 4, 1, 2:4,\n", "sparsity 2:4 is not supported"),
}


@pytest.mark.parametrize("header", ["Sparsity,", "Batch,", "Sparsity, Batch,"])
def test_a_batch_of_gemms_is_products_of_their_own_matrices(tmp_path: Path, header: str) -> None:
    """SCALE-Sim's topology_utils: a number in the fifth or sixth cell is a batched dot_general."""
    before = "4:4, " * (header.count(",") - 1)
    text = f"Layer Name, M, N, K, {header}\nheads, 5, 7, 3, {before}4,\none, 5, 7, 3, {before}1,\n"
    heads, one = (network := load(tmp_path, text)).layers
    assert (heads.input_shapes, heads.output_shape) == (((4, 5, 3), (4, 3, 7)), (4, 5, 7))
    assert (one.input_shapes, one.output_shape) == (((5, 3),), (5, 7))
    assert heads.macs == 4 * one.macs == 4 * 5 * 7 * 3
    assert network.images == {"heads": 1, "one": 1}


@pytest.mark.parametrize("text", KINDS.values(), ids=KINDS)
def test_every_kind_of_scalesims_own_files_is_read_as_meant(tmp_path: Path, text: str) -> None:
    network = load(tmp_path, text)
    (layer,) = network.layers
    assert (layer.name, layer.input_shapes, layer.output_shape) == ("c", ((3, 8, 8),), (4, 6, 6))
    assert network.images == {"c": 1}


@pytest.mark.parametrize(("row", "told"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_meant_is_told_with_its_line(tmp_path: Path, row: str, told: str) -> None:
    header = CONV_HEADER + (", Sparsity,\n" if ":" in row else ",\n")
    assert told in faults(tmp_path, header + row)[0]
