"""Laws of nodes that move values or give them another shape."""

import math
from collections.abc import Iterator

from accelsim.frontend.onnx.laws.call import Call, in_range, is_list, is_single, one_of, wants
from accelsim.units import ceil_div


def reshape(call: Call) -> Iterator[str]:
    yield from is_list(call, 1)
    x, asked = call.shape(0) or (), call.numbers(1, "shape")
    if asked is None:
        return
    keeps = not call.said.get("allowzero")
    if any(size < -1 for size in asked) or asked.count(-1) > 1:
        yield f"the shape {asked} is none"
        return
    if keeps and any(size == 0 and place >= len(x) for place, size in enumerate(asked)):
        yield f"the shape {asked} keeps an axis that {list(x)} has not"
        return
    sizes = [x[at] if keeps and size == 0 else size for at, size in enumerate(asked)]
    fixed, whole = math.prod(size for size in sizes if size != -1), math.prod(x)
    if (-1 not in sizes and fixed != whole) or (-1 in sizes and (not fixed or whole % fixed)):
        yield f"{list(x)} has {whole:,} values, which do not fill the shape {asked}"


def transpose(call: Call) -> Iterator[str]:
    rank, order = len(call.shape(0) or ()), call.said.get("perm")
    if order is not None and sorted(order) != list(range(rank)):
        yield f"its perm {list(order)} is no order of {rank} axes"


def flatten(call: Call) -> Iterator[str]:
    rank, axis = len(call.shape(0) or ()), int(call.said.get("axis", 1))
    if not -rank <= axis <= rank:
        yield f"axis {axis} of a tensor of {rank}"


def gather(call: Call) -> Iterator[str]:
    x, axis = call.shape(0) or (), int(call.said.get("axis", 0))
    yield from in_range([axis], len(x))
    places = call.known(1)
    size = x[axis % max(len(x), 1)] if x else 0
    if places is not None and places.size and not -size <= places.min() <= places.max() < size:
        yield f"it takes places {int(places.min())} to {int(places.max())} of {size}"


def sliced(call: Call) -> Iterator[str]:
    rank = len(call.shape(0) or ())
    yield from is_list(call, 1, 2, 3, 4)
    names = ("starts", "ends", "axes", "steps")
    lists = [call.numbers(place, name) for place, name in enumerate(names, 1)]
    if len({len(each) for each in lists if each is not None}) > 1:
        yield "its starts, ends, axes and steps are not as many"
    starts = lists[0]
    if starts is not None and lists[2] is None and call.shape(3) is None and len(starts) > rank:
        yield f"{len(starts)} starts of a tensor of {rank} axes"
    yield from in_range(lists[2], rank)
    if lists[3] is not None and 0 in lists[3]:
        yield "a step is 0"


def split(call: Call) -> Iterator[str]:
    x, axis = call.shape(0) or (), int(call.said.get("axis", 0))
    yield from is_list(call, 1)
    yield from in_range([axis], len(x))
    sizes, size = call.numbers(1, "split"), x[axis % max(len(x), 1)] if x else 0
    if sizes is not None:
        if len(sizes) != call.made:
            yield f"{len(sizes)} sizes for {call.made} outputs"
        elif sum(sizes) != size or min(sizes) < 0:
            yield f"the sizes {sizes} do not add up to the {size} of axis {axis}"
        return
    asked = call.said.get("num_outputs")
    if asked is not None and asked != call.made:
        yield f"its num_outputs is {asked}, but it has {call.made} outputs"
    elif asked is not None and ceil_div(size, asked) * (asked - 1) > size:
        each = ceil_div(size, asked)
        yield f"axis {axis} of {list(x)} does not divide into {asked} parts of {each}"
    elif asked is None and call.shape(1) is None and size % max(call.made, 1):
        yield f"axis {axis} of {list(x)} does not divide into {call.made} equal parts"


def tile(call: Call) -> Iterator[str]:
    yield from is_list(call, 1)
    x, times = call.shape(0) or (), call.numbers(1, "repeats")
    if times is not None and (len(times) != len(x) or min(times, default=0) < 0):
        yield f"the repeats {times} of a tensor of {len(x)} axes"


def pad(call: Call) -> Iterator[str]:
    yield from one_of(call, "mode", "constant", "reflect", "edge", "wrap")
    yield from is_list(call, 1, 3)
    yield from is_single(call, 2)
    x, pads, axes = call.shape(0) or (), call.numbers(1, "pads"), call.numbers(3, "axes")
    yield from in_range(axes, len(x))
    count = len(x) if axes is None else len(axes)
    if pads is not None and call.shape(3) is not None and axes is None:
        return
    if pads is not None and len(pads) != 2 * count:
        yield f"{len(pads)} pads for {count} axes"


def depth_to_space(call: Call) -> Iterator[str]:
    yield from one_of(call, "mode", "DCR", "CRD")
    x, by = call.shape(0) or (), int(call.said.get("blocksize", 0))
    if len(x) != 4 or by < 1 or x[1] % by**2:
        yield f"{list(x)} has no squares of {by} by {by} in its channels"


def space_to_depth(call: Call) -> Iterator[str]:
    x, by = call.shape(0) or (), int(call.said.get("blocksize", 0))
    if len(x) != 4 or by < 1 or x[2] % by or x[3] % by:
        yield f"{list(x)} does not divide into squares of {by} by {by}"


_COORDINATES = (
    *("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners"),
    *("asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize"),
)
_NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def resize(call: Call) -> Iterator[str]:
    yield from one_of(call, "mode", "nearest", "linear", "cubic", "bilinear", "bicubic")
    yield from one_of(call, "coordinate_transformation_mode", *_COORDINATES)
    yield from one_of(call, "nearest_mode", *_NEAREST)
    yield from is_list(call, 1, 2, 3)
    x, axes = call.shape(0) or (), call.said.get("axes")
    yield from in_range(axes, len(x))
    count = len(x) if axes is None else len(axes)
    scales_at = 1 if call.op == "Upsample" or call.version < 11 else 2
    for place in (scales_at, 3):
        shape = call.shape(place)
        if shape is not None and len(shape) == 1 and shape[0] not in (0, count):
            yield f"{shape[0]} sizes or scales for {count} axes"


def reduction(call: Call) -> Iterator[str]:
    yield from is_list(call, 1)
    yield from in_range(call.numbers(1, "axes"), len(call.shape(0) or ()), once=False)


# --- Of operators that no layer stands for --------------------------------------------------------


def gather_elements(call: Call) -> Iterator[str]:
    x, places, axis = call.shape(0) or (), call.shape(1) or (), int(call.said.get("axis", 0))
    yield from in_range([axis], len(x))
    if len(places) != len(x):
        yield f"its indices {list(places)} have not as many axes as {list(x)}"
        return
    rest = [at for at in range(len(x)) if at != axis % len(x)]
    if any(places[at] > x[at] for at in rest):
        yield f"its indices {list(places)} reach beyond {list(x)}"


def scatter_elements(call: Call) -> Iterator[str]:
    yield from gather_elements(call)
    yield from wants(call, 2, "its updates", call.shape(1) or ())


def gather_nd(call: Call) -> Iterator[str]:
    """Its batch axes are the same of both, and its indices name no more axes than are left."""
    x, places = call.shape(0) or (), call.shape(1) or ()
    batch = int(call.said.get("batch_dims", 0))
    if not 0 <= batch < max(min(len(x), len(places)), 1):
        yield f"batch_dims {batch} of {list(x)} and indices {list(places)}"
    elif not places or not 0 < places[-1] <= len(x) - batch:
        yield f"its indices {list(places)} name more axes than {list(x)} has, or none"
    elif x[:batch] != places[:batch]:
        yield f"its indices {list(places)} have other batch axes than {list(x)}"


def scatter_nd(call: Call) -> Iterator[str]:
    x, places = call.shape(0) or (), call.shape(1) or ()
    if not places or places[-1] > len(x):
        yield f"its indices {list(places)} name more axes than {list(x)} has"
        return
    yield from wants(call, 2, "its updates", (*places[:-1], *x[places[-1] :]))


def top_k(call: Call) -> Iterator[str]:
    x, axis, wanted = call.shape(0) or (), int(call.said.get("axis", -1)), call.numbers(1, "k")
    yield from in_range([axis], len(x))
    if wanted and not 0 <= wanted[0] <= x[axis % len(x)]:
        yield f"it takes {wanted[0]} of {x[axis % len(x)]}"


def running(call: Call) -> Iterator[str]:
    """Of a running sum."""
    yield from is_single(call, 1)
    yield from in_range(call.numbers(1, "axis"), len(call.shape(0) or ()))


def grid_sample(call: Call) -> Iterator[str]:
    x, grid = call.shape(0) or (), call.shape(1) or ()
    if len(x) != len(grid) or len(x) < 3 or grid[0] != x[0] or grid[-1] != len(x) - 2:
        yield f"its grid {list(grid)} is none for {list(x)}"
