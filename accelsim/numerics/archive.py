"""The arrays of an .npz file: what each says that it is, and its values when they are asked for.

A damaged or hostile file may make zipfile, zlib, lzma and NumPy raise nearly anything, and a few
bytes may stand for terabytes. So an outline, which is read first, must be wanted before an array
is, and whatever the reading raises is the file's fault.
"""

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from accelsim.errors import InputError, Problem, reason
from accelsim.numerics.formats import Array
from accelsim.text import cut

LARGEST_ARRAY = 2**33
"""Bytes of one array of parameters."""
_SUFFIX = ".npy"
_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class Outline:
    """Shape and type of an array, as its header says."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


class UnreadableError(Exception):
    """An array cannot be read; the message says why."""


class Archive(Mapping[str, Array]):
    """The arrays of the .npz file at `path` by key. Nothing in it is ever run."""

    def __init__(self, path: Path) -> None:
        """Open the file; raises InputError."""
        try:
            if path.exists() and not path.is_file():
                raise OSError("expected a file")
            self._zip = zipfile.ZipFile(path)
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
            why = reason(error) if isinstance(error, OSError) else error
            raise InputError(
                Problem(message=f"cannot be read as .npz: {why}", source=str(path))
            ) from None
        names = self._zip.namelist()
        self._members = {name.removesuffix(_SUFFIX): name for name in names}

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __contains__(self, key: object) -> bool:
        return key in self._members

    def __len__(self) -> int:
        return len(self._members)

    def outline(self, key: str) -> Outline:
        """What an array says that it is; raises UnreadableError."""
        try:
            with self._zip.open(self._members[key]) as file:
                return _outline(file)
        except Exception as error:
            raise UnreadableError(_said(error)) from None

    def __getitem__(self, key: str) -> Array:
        """An array; KeyError where there is none, UnreadableError for a damaged one."""
        member = self._members[key]
        try:
            with self._zip.open(member) as file:
                array: Array = np.lib.format.read_array(file, allow_pickle=False)
                file.read(1)  # past the end: only there zipfile compares the checksum
                return array
        except Exception as error:
            raise UnreadableError(_said(error)) from None


def _outline(file: IO[bytes]) -> Outline:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read = np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject or any(size < 0 for size in shape):
        raise ValueError(f"holds {dtype} of shape {shape}")
    return Outline(shape, dtype)


def _said(error: Exception) -> str:
    return cut(str(error) or type(error).__name__, _LONGEST_REASON)
