"""Odd .npz files are refused by the array's name, before anything large is read."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from accelsim.errors import InputError
from accelsim.hardware import Precision
from accelsim.network.graph import LayerSpec, build_network
from accelsim.network.ops import Conv
from accelsim.numerics.compare import precision_arithmetic
from accelsim.numerics.parameter_file import load_parameters

INT8 = precision_arithmetic(Precision())
GOOD = {"c.weight": np.ones((4, 2, 3, 3), np.int8), "c.bias": np.zeros(4, np.int32)}


def member(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array)
    return file.getvalue()


def header(shape: str) -> bytes:
    text = f"{{'descr': '|i1', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


def archive(weight: bytes | None = None, method: int = zipfile.ZIP_DEFLATED) -> bytearray:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as members:
        for name, array in GOOD.items():
            content = weight if weight is not None and name == "c.weight" else member(array)
            members.writestr(f"{name}.npy", content)
    return bytearray(file.getvalue())


def patched(local: int, central: int, value: bytes) -> bytearray:
    """Every header of an archive with `value` at these places."""
    raw = archive()
    for sign, at in ((b"PK\3\4", local), (b"PK\1\2", central)):
        place = raw.find(sign)
        while place >= 0:
            raw[place + at : place + at + len(value)] = value
            place = raw.find(sign, place + 4)
    return raw


def inverted() -> bytearray:
    raw = archive()
    start = raw.find(b".npy") + 4
    raw[start : start + 20] = bytes(each ^ 255 for each in raw[start : start + 20])
    return raw


def flipped() -> bytearray:
    """One bit of a stored value: only the archive's own checksum tells."""
    raw = archive(method=zipfile.ZIP_STORED)
    raw[raw.find(b"\1" * 20) + 5] ^= 2
    return raw


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (inverted(), "c.weight: cannot be read: "),
        (flipped(), "c.weight: cannot be read: Bad CRC-32"),
        (patched(8, 10, struct.pack("<H", 97)), "cannot be read: That compression method"),
        (patched(6, 8, b"\1\0"), "cannot be read: .*encrypted"),
        (archive(b"hello"), "c.weight: cannot be read: "),
        (archive(b"\x93NUMPY\1\0" + struct.pack("<H", 10) + b"{'descr':\n"), "cannot be read: "),
        (archive(header("(1000000000000,)")), r"c.weight: has shape \(1000000000000,\), needs"),
        (archive(header("(4, 2, -3, -3)")), "c.weight: "),
        (archive(method=zipfile.ZIP_LZMA)[:-60], "cannot be read as .npz"),
        (archive(member(np.ones((4, 2, 3, 3), bool))), "c.weight: holds bool"),
        (archive(member(np.ones((4, 2, 3, 3), "U1"))), "c.weight: holds <U1"),
    ],
)
def test_odd_archives(tmp_path: Path, content: bytearray, message: str) -> None:
    (tmp_path / "w.npz").write_bytes(content)
    specs = [LayerSpec("c", Conv(out_channels=4, kernel=(3, 3)), ("input",))]
    network = build_network("n", {"input": (2, 8, 8)}, specs, weights=tmp_path / "w.npz")
    with pytest.raises(InputError, match=message):
        load_parameters(network, network, INT8)
