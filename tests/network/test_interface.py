"""Tensors of a framework's file: their axes there, and here with images first."""

import numpy as np
import pytest

from accelsim.network.interface import FileOutput, FileTensor

FIRST, SECOND = FileTensor((), (3, 4)), FileTensor((5,), (3,))
MERGED, ONE = FileTensor((2,), (3,), inner=4), FileTensor((), (5, 3), batched=False)
OUTER = FileTensor((), (3,), outer=4)


@pytest.mark.parametrize(
    ("tensor", "shape", "images"),
    [
        *((FIRST, (7, 3, 4), 7), (FIRST, (3, 4), 1), (FIRST, (7, 4, 3), None), (FIRST, (4,), None)),
        *((SECOND, (5, 7, 3), 7), (SECOND, (5, 3), 1), (SECOND, (7, 5, 3), None)),
        *((MERGED, (2, 28, 3), 7), (MERGED, (2, 4, 3), 1), (MERGED, (2, 27, 3), None)),
        *((OUTER, (28, 3), 7), (OUTER, (4, 3), 1), (OUTER, (27, 3), None)),
        *((ONE, (5, 3), 1), (ONE, (7, 5, 3), 7), (ONE, (5, 7, 3), None)),
        *((FileTensor((), ()), (7,), 7), (FileTensor((), ()), (), 1)),
    ],
)
def test_images_of_an_array(tensor: FileTensor, shape: tuple[int, ...], images: int | None) -> None:
    assert tensor.images(shape) == images
    if images is not None:
        array = np.arange(np.prod(shape, dtype=int)).reshape(shape)
        here = tensor.images_first(array)
        assert here.shape == (images, *tensor.of_image)
        there = tensor.as_in_file(here)
        assert np.array_equal(there.reshape(array.shape), array)


def test_where_an_image_lies() -> None:
    """By hand: image 1 of an axis before it, of one that it shares, and of none."""
    second = np.arange(5 * 2 * 3).reshape(5, 2, 3)
    assert np.array_equal(SECOND.images_first(second)[1], second[:, 1])
    merged = np.arange(2 * 8 * 3).reshape(2, 8, 3)
    assert np.array_equal(MERGED.images_first(merged)[1], merged[:, 4:])
    outer = np.arange(8 * 3).reshape(8, 3)
    assert np.array_equal(OUTER.images_first(outer)[1], outer[1::2])
    alone = np.arange(15).reshape(5, 3)
    assert ONE.as_in_file(alone[None]).shape == (5, 3)
    assert ONE.as_in_file(np.stack([alone, alone])).shape == (2, 5, 3)


def test_shapes_are_told_with_n_for_the_images() -> None:
    told = [str(each) for each in (FIRST, SECOND, MERGED, ONE, FileTensor((), ()))]
    assert told == ["(N, 3, 4)", "(5, N, 3)", "(2, 4 N, 3)", "(5, 3)", "(N,)"]


def test_outputs_hold_what_the_file_says() -> None:
    reals = np.array([[-1.26, 0.24, 300.0]])
    flat = FileTensor((), (3,))
    assert FileOutput("y", flat).of(reals).dtype == np.float32
    assert FileOutput("y", flat, "int64").of(reals).tolist() == [[-1, 0, 300]]
    assert FileOutput("y", flat, "bool").of(reals).tolist() == [[True, True, True]]
    codes = FileOutput("y", flat, "uint8", scale=0.5, zero_point=10).of(reals)
    assert codes.tolist() == [[7, 10, 255]]
