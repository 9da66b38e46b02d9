"""Laws of convolutions, products, norms, recurrent nodes and codes."""

from collections.abc import Iterator, Sequence

from accelsim.frontend.onnx.laws.call import (
    Call,
    Law,
    in_range,
    is_single,
    one_of,
    reaches,
    wants,
)
from accelsim.frontend.onnx.spelling import HEAD_SIZE
from accelsim.network.ops import Shape

# --- Windows --------------------------------------------------------------------------------------


def windows(call: Call, axes: int) -> Iterator[str]:
    """That a window has one number for each spatial axis."""
    lengths = {"kernel_shape": axes, "strides": axes, "dilations": axes, "pads": 2 * axes}
    for name, count in lengths.items():
        given = call.said.get(name)
        if given and len(given) != count:
            yield f"{name} {list(given)} for {axes} spatial axes"
    if min(call.said.get("pads", ()), default=0) < 0:
        yield f"its pads are {list(call.said['pads'])}"
    yield from one_of(call, "auto_pad", "NOTSET", "", "VALID", "SAME_UPPER", "SAME_LOWER")


def reached(call: Call, sizes: Sequence[int], kernel: Sequence[int]) -> Iterator[str]:
    """That a window lies within what is padded."""
    if len(kernel) != len(sizes) or str(call.said.get("auto_pad", "")).startswith("SAME"):
        return
    axes = len(sizes)
    pads = call.said.get("pads") or (0,) * 2 * axes
    apart = call.said.get("dilations") or (1,) * axes
    whole = [pads[at] + sizes[at] + pads[axes + at] for at in range(axes)]
    window = [(f - 1) * d + 1 for f, d in zip(kernel, apart, strict=True)]
    if any(f > n for f, n in zip(window, whole, strict=True)):
        yield f"its window {window} is larger than what it is moved over, {whole}"


def convolution(weight_at: int, bias_at: int | None, turned: bool = False) -> Law:
    """Of a convolution; `turned`: a transposed one, whose weight has the ifmap's channels first."""

    def law(call: Call) -> Iterator[str]:
        x, weight = call.shape(0), call.shape(weight_at)
        if x is None or weight is None:
            return
        if len(weight) != len(x) or len(x) < 3:
            yield f"its weight {list(weight)} has not as many axes as {list(x)}"
            return
        groups = int(call.said.get("group", 1))
        takes, makes = weight[1] * groups, weight[0]
        if turned:
            takes, makes = makes, takes
        if groups < 1 or weight[0] % groups:
            yield f"its weight {list(weight)} does not divide into {groups} groups"
        elif takes != x[1]:
            yield (
                f"its weight {list(weight)} in {groups} group{'s' * (groups > 1)} takes {takes} "
                f"channels, but {list(x)} has {x[1]}"
            )
        if bias_at is not None:
            yield from wants(call, bias_at, "its bias", (makes,))
        said = call.said.get("kernel_shape")
        if said and tuple(said) != weight[2:]:
            yield f"its kernel_shape is {list(said)}, but its weight {list(weight)}"
        yield from windows(call, len(x) - 2)
        if not turned:
            yield from reached(call, x[2:], weight[2:])

    return law


def pool(call: Call) -> Iterator[str]:
    size = (call.shape(0) or ())[2:]
    yield from windows(call, len(size))
    yield from reached(call, size, call.said.get("kernel_shape", ()))


# --- Products and norms ---------------------------------------------------------------------------


def gemm(call: Call) -> Iterator[str]:
    first, second = (call.shape(place) or () for place in (0, 1))
    if len(first) != 2 or len(second) != 2:
        yield f"{list(first)} and {list(second)} are no matrices"
        return
    rows = first[1 if call.said.get("transA") else 0]
    columns = second[0 if call.said.get("transB") else 1]
    yield from reaches(call, 2, "its C", (rows, columns))


def einsum(call: Call) -> Iterator[str]:
    """That a letter is one size, or 1 where it is broadcast."""
    ahead = str(call.said.get("equation", "")).replace(" ", "").partition("->")[0].split(",")
    sizes: dict[str, int] = {}
    for letters, shape in zip(ahead, call.shapes, strict=False):
        if "." in letters or shape is None:
            continue
        if len(letters) != len(shape):
            yield f"{letters!r} stands for {list(shape)}"
            return
        for letter, size in zip(letters, shape, strict=True):
            before = sizes.get(letter, 1)
            if before != size and 1 not in (before, size):
                yield f"its axis {letter!r} is both {before} and {size}"
            sizes[letter] = max(before, size)


def channels(call: Call) -> Iterator[str]:
    """Of an instance norm."""
    x = call.shape(0) or ()
    if len(x) < 3:
        yield f"{list(x)} has no pixels"
        return
    yield from wants(call, 1, "its scale", (x[1],))
    yield from wants(call, 2, "its bias", (x[1],))


def groups(call: Call) -> Iterator[str]:
    """Of a group norm, which until opset 21 has a scale for each group."""
    x, groups = call.shape(0) or (), int(call.said.get("num_groups", 0))
    if len(x) < 2 or groups < 1 or x[1] % groups:
        yield f"{list(x)} does not divide into {groups} groups"
        return
    size = x[1] if call.version >= 21 else groups
    yield from wants(call, 1, "its scale", (size,))
    yield from wants(call, 2, "its bias", (size,))


def normalized(call: Call) -> Iterator[str]:
    """Of a layer or RMS norm."""
    x, axis = call.shape(0) or (), int(call.said.get("axis", -1))
    yield from in_range([axis], len(x))
    yield from reaches(call, 1, "its scale", x)
    yield from reaches(call, 2, "its bias", x)


def lrn(call: Call) -> Iterator[str]:
    if int(call.said.get("size", 0)) < 1:
        yield f"its size is {call.said.get('size')}"


def along_axis(default: int) -> Law:
    def law(call: Call) -> Iterator[str]:
        yield from in_range([int(call.said.get("axis", default))], len(call.shape(0) or ()))

    return law


def prelu(call: Call) -> Iterator[str]:
    yield from reaches(call, 1, "its slope", call.shape(0) or ())


def gelu(call: Call) -> Iterator[str]:
    """Of which there are two."""
    yield from one_of(call, "approximate", "none", "tanh")


def clip(call: Call) -> Iterator[str]:
    yield from is_single(call, 1, 2)


def recurrent(gates: int) -> Law:
    """Of a recurrent node of so many gates."""

    def law(call: Call) -> Iterator[str]:
        yield from one_of(call, "direction", "forward", "reverse", "bidirectional")
        x, state = call.shape(0) or (), call.shape(2) or ()
        if len(x) != 3 or len(state) != 3:
            yield f"its input has shape {list(x)}, its recurrence {list(state)}: both need 3 axes"
            return
        ways = 1 + (call.said.get("direction") == "bidirectional")
        size = int(call.said.get("hidden_size", state[-1]))
        times_first = not call.said.get("layout")
        batch = x[1 if times_first else 0]
        yield from wants(call, 1, "its weight", (ways, gates * size, x[2]))
        yield from wants(call, 2, "its recurrence", (ways, gates * size, size))
        yield from wants(call, 3, "its bias", (ways, 2 * gates * size))
        yield from wants(call, 4, "its lengths", (batch,))
        first = (ways, batch, size) if times_first else (batch, ways, size)
        yield from wants(call, 5, "its first state", first)
        yield from wants(call, 6, "its first cell", first)
        yield from wants(call, 7, "its peepholes", (ways, 3 * size))

    return law


def attention(call: Call) -> Iterator[str]:
    """Queries, keys and values of 3 axes, heads side by side, or of 4."""
    shapes = [call.shape(place) or () for place in range(3)]
    if len({len(shape) for shape in shapes}) > 1 or len(shapes[0]) not in (3, 4):
        yield "its queries, keys and values should all have 3 axes, or all 4"
        return
    named = [int(call.said.get(f"{each}_num_heads", 0)) for each in ("q", "kv")]
    queries, keys, values = shapes
    if len({shape[0] for shape in shapes}) > 1 or keys[-2] != values[-2]:
        yield "its queries, keys and values are not of one batch and one length"
    heads = named if len(queries) == 3 else [queries[1], keys[1]]
    if min(heads) < 1 or heads[0] % heads[1] or (len(keys) == 4 and keys[1] != values[1]):
        yield f"{heads[0]} heads of queries do not share {heads[1]} of keys"
        return
    wide = queries[-1], keys[-1], values[-1]
    if len(queries) == 3:
        if queries[2] % heads[0] or keys[2] % heads[1] or values[2] % heads[1]:
            yield f"its features do not divide into {heads[0]} and {heads[1]} heads"
        wide = queries[2] // heads[0], keys[2] // heads[1], values[2] // heads[1]
    if wide[0] != wide[1]:
        yield f"its queries have {wide[0]} features, its keys {wide[1]}"
    past, total = call.shape(4), keys[-2]
    for place, size in ((4, wide[1]), (5, wide[2])):
        before = call.shape(place)
        if before is not None:
            times = (past or before)[2:3] or (1,)
            wanted = (queries[0], heads[1], *times, size)
            yield from wants(call, place, "what is past", wanted)
    if past is not None and len(past) == 4:
        total += past[2]
    mask = call.shape(3)
    if mask:  # one of fewer keys hides the rest
        rows = queries[0], heads[0], queries[-2], min(total, mask[-1])
        yield from reaches(call, 3, "its mask", rows)


def rotary(call: Call) -> Iterator[str]:
    """Of a rotary embedding: tables of half as many angles as features are turned."""
    x, tables, places = call.shape(0) or (), call.shape(1) or (), call.shape(3)
    heads = int(call.said.get("num_heads", 0))
    if call.said.get(HEAD_SIZE):
        heads = x[-1] // int(call.said[HEAD_SIZE])
    if len(x) not in (3, 4) or (len(x) == 3 and (heads < 1 or x[2] % heads)):
        yield f"{list(x)} does not divide into {heads} heads"
        return
    size, times = (x[2] // heads, x[1]) if len(x) == 3 else (x[3], x[2])
    turned = int(call.said.get("rotary_embedding_dim", 0)) or size
    if turned % 2 or not 0 < turned <= size:
        yield f"{turned} features of {size} are turned"
    wanted: Shape = (x[0], times, turned // 2)
    if places is not None:
        yield from wants(call, 3, "its places", (x[0], times))
        wanted = (tables[0] if tables else 0, turned // 2)
        known = call.known(3)
        if known is not None and known.size and not 0 <= known.min() <= known.max() < wanted[0]:
            yield f"it takes places {int(known.min())} to {int(known.max())} of {wanted[0]}"
    yield from wants(call, 1, "its cosines", wanted)
    yield from wants(call, 2, "its sines", wanted)


# --- Codes ----------------------------------------------------------------------------------------


def quantize(call: Call) -> Iterator[str]:
    """That a zero point is as its scale, and this one number, or one for each of an axis.

    One number may have an axis or none: onnxruntime's quantizer gives a bias one of either kind.
    """
    x, scale = call.shape(0) or (), call.shape(1)
    if scale is None:
        return
    single = ((), (1,))
    yield from wants(call, 2, "its zero point", *(single if scale in single else (scale,)))
    axis = int(call.said.get("axis", 1))
    if scale in single or call.said.get("block_size"):
        return
    yield from in_range([axis], len(x))
    yield from wants(call, 1, "its scale", (x[axis % max(len(x), 1)],))


def codes(places: Sequence[int], then: Law | None = None) -> Law:
    """That scales and zero points are one number each, of all but the weight."""

    def law(call: Call) -> Iterator[str]:
        yield from is_single(call, *places)
        if then is not None:
            yield from then(call)

    return law
