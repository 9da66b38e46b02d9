"""The forms in which a transposed convolution takes its padding, as a convolution does."""

from pathlib import Path

import pytest

from accelsim.errors import InputError
from accelsim.frontend import load_network
from accelsim.network.graph import Network


def transposed(folder: Path, keys: str) -> Network:
    path = folder / "net.yaml"
    layer = f"{{op: conv_transpose, out_channels: 2, kernel: 5, stride: 2, {keys}}}"
    shape = "{channels: 1, height: 4, width: 5}"
    path.write_text(f"name: net\ninput: {shape}\nlayers:\n  ct: {layer}\n")
    return load_network(path)


@pytest.mark.parametrize(
    ("keys", "size"),  # (n - 1) stride + kernel - padding + output_padding of 4 rows and 5 columns
    [
        ("padding: 1", (9, 11)),
        ("padding: [1, 2]", (9, 9)),
        ("padding: [1, 0, 2, 1]", (10, 10)),
        ("padding: valid", (11, 13)),
        ("padding: 1, output_padding: 1", (10, 12)),
        ("output_padding: [0, 1]", (11, 14)),
    ],
)
def test_every_form(tmp_path: Path, keys: str, size: tuple[int, int]) -> None:
    assert transposed(tmp_path, keys).layers[-1].output_shape == (2, *size)


@pytest.mark.parametrize("padding", ["same", "[1, 2, 3]", "-1", "true", "[1, -2]"])
def test_what_is_no_padding(tmp_path: Path, padding: str) -> None:
    with pytest.raises(InputError, match=r"layers\.ct\.padding"):
        transposed(tmp_path, f"padding: {padding}")
