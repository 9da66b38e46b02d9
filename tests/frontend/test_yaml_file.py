"""Network files: what they mean, and every mistake with its exact place."""

from pathlib import Path

import pytest

from accelsim.errors import InputError
from accelsim.frontend.yaml_file import load_yaml_network
from accelsim.network.graph import Network
from accelsim.network.ops import Conv

HEAD = "name: n\ninput: {channels: 3, height: 8, width: 8}\n"  # so layers start in line 4


def load(tmp_path: Path, text: str) -> Network:
    path = tmp_path / "net.yaml"
    path.write_text(text, encoding="utf-8")
    return load_yaml_network(path)


def faults(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    source = str(tmp_path / "net.yaml")
    assert {problem.source for problem in caught.value.problems} == {source}
    return [str(problem).removeprefix(source + ":") for problem in caught.value.problems]


def reads(network: Network) -> dict[str, tuple[str, ...]]:
    return {layer.name: layer.inputs for layer in network.layers}


# --- Meaning --------------------------------------------------------------------------------------


def test_each_layer_reads_the_one_before(tmp_path: Path) -> None:
    text = "layers:\n  a: {op: relu}\n  b: {op: tanh}\n  c: {op: add, inputs: [a, input]}\n"
    network = load(tmp_path, HEAD + "description: d\n" + text)
    assert reads(network) == {"a": ("input",), "b": ("a",), "c": ("a", "input")}
    assert (network.name, network.description, network.weights) == ("n", "d", None)
    assert network.inputs == {"input": (3, 8, 8)}


def test_several_inputs_and_all_their_shapes(tmp_path: Path) -> None:
    network = load(
        tmp_path,
        "name: n\ninputs:\n"
        "  q: {rows: 4, features: 2}\n  k: {rows: 2, features: 5}\n  v: {features: 7}\n"
        "  i: {channels: 1, height: 2, width: 3}\n"
        "layers:\n  first: {op: relu}\n  qk: {op: matmul, inputs: [q, k]}\n",
    )
    assert network.inputs == {"q": (4, 2), "k": (2, 5), "v": (7,), "i": (1, 2, 3)}
    assert reads(network) == {"first": ("q",), "qk": ("q", "k")}
    assert network.by_name["qk"].output_shape == (4, 5)


def test_parts_of_a_split_are_called_by_their_names(tmp_path: Path) -> None:
    split = "layers:\n  parts: {op: split, sizes: [2, 1]}\n"
    network = load(tmp_path, HEAD + split + "  a: {op: relu, input: parts/0}\n")
    assert reads(network) == {"parts/0": ("input",), "parts/1": ("input",), "a": ("parts/0",)}
    assert network.by_name["parts/1"].output_shape == (1, 8, 8)
    (told,) = faults(tmp_path, HEAD + split + "  a: {op: relu}\n")
    assert told.startswith("5:3: layers.a: unknown input 'parts'; did you mean 'parts/")
    (told,) = faults(tmp_path, HEAD + split.replace("1]", "2]"))
    assert told == "4:3: layers.parts: sizes [2, 2] add up to 4, and axis 0 of (3, 8, 8) has 3"


SHARED = """blocks:
  inner:
    parameters: [w]
    layers:
      c: {op: conv, out_channels: 3, kernel: 3, padding: 1, shares: $w}
      a: {op: conv, out_channels: 3, kernel: 1}
      d: {op: conv, out_channels: 3, kernel: 1, shares: a}
      up: {op: conv, out_channels: 3, kernel: 3, padding: 1, shares: stem}
  outer:
    layers:
      a: {op: conv, out_channels: 3, kernel: 3, padding: 1}
      b: {op: conv, out_channels: 3, kernel: 3, padding: 1, shares: a}
      w: {op: conv, out_channels: 3, kernel: 3, padding: 1, repeat: [1, 2]}
      n: {op: inner, w: w_2}
      t: {op: inner, w: a}
layers:
  stem: {op: conv, out_channels: 3, kernel: 3, padding: 1}
  x: {op: outer}
  y: {op: outer}
  end: {op: conv, out_channels: 3, kernel: 3, padding: 1, shares: x/a}
"""


def test_a_weight_is_shared_with_the_nearest_layer_of_that_name(tmp_path: Path) -> None:
    """In the block, then in those around it; what a parameter names lies outside of the block."""
    network = load(tmp_path, HEAD + SHARED)
    owners = {name: layer.owner for name, layer in network.by_name.items() if layer.owner != name}
    for use in "xy":
        assert owners[f"{use}/b"] == f"{use}/a"
        assert owners[f"{use}/n/c"] == f"{use}/w_2"
        assert owners[f"{use}/n/d"] == f"{use}/n/a"
        assert owners[f"{use}/t/c"] == f"{use}/a"
        assert owners[f"{use}/t/up"] == "stem"
    assert owners["end"] == "x/a"
    (told,) = faults(tmp_path, HEAD + SHARED.replace("shares: x/a", "shares: a"))
    assert "'a' is no layer with a weight" in told


def test_forward_references_are_put_in_order(tmp_path: Path) -> None:
    text = "layers:\n  b: {op: relu, input: a}\n  a: {op: tanh, input: input}\n"
    assert list(reads(load(tmp_path, HEAD + text))) == ["a", "b"]


def test_names_that_yaml_takes_for_numbers(tmp_path: Path) -> None:
    text = "layers:\n  1: {op: relu}\n  2.5: {op: relu}\n  sum: {op: add, inputs: [1, 2.5]}\n"
    assert reads(load(tmp_path, HEAD + text))["sum"] == ("1", "2.5")


def test_windows_are_widened(tmp_path: Path) -> None:
    conv = "{op: conv, out_channels: 4, kernel: [3, 1], stride: 2, padding: [1, 0]}"
    network = load(tmp_path, HEAD + f"layers:\n  a: {conv}\n")
    assert network.layers[0].op == Conv(
        out_channels=4, kernel=(3, 1), stride=(2, 2), padding=(1, 1, 0, 0)
    )


def test_weights_lie_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "w.npz").touch()
    network = load(tmp_path, HEAD + "weights: w.npz\nlayers:\n  a: {op: relu}\n")
    assert network.weights == tmp_path / "w.npz"


def test_a_block_twice_and_names_from_outside(tmp_path: Path) -> None:
    network = load(
        tmp_path,
        HEAD + "blocks:\n  pair:\n    parameters: [c, k]\n    layers:\n"
        "      narrow: {op: conv, out_channels: $c, kernel: [1, $k]}\n"
        "      wide: {op: conv, input: $input, out_channels: $c, kernel: [1, $k]}\n"
        "      sum: {op: add, inputs: [narrow, wide]}\n"
        "layers:\n"
        "  p: {op: pair, c: 5, k: 3}\n"
        "  q: {op: pair, c: 6, k: 1}\n"
        "  last: {op: relu, input: p}\n"
        "  inner: {op: relu, input: q/narrow}\n",
    )
    assert reads(network) == {
        "p/narrow": ("input",),
        "p/wide": ("input",),
        "p/sum": ("p/narrow", "p/wide"),
        "q/narrow": ("p/sum",),
        "q/wide": ("p/sum",),
        "q/sum": ("q/narrow", "q/wide"),
        "last": ("p/sum",),
        "inner": ("q/narrow",),
    }
    assert network.by_name["p/sum"].output_shape == (5, 8, 6)
    assert network.by_name["q/sum"].output_shape == (6, 8, 6)


def test_blocks_in_blocks(tmp_path: Path) -> None:
    network = load(
        tmp_path,
        HEAD + "blocks:\n"
        "  outer:\n    parameters: [n]\n    layers:\n"
        "      a: {op: inner, width: $n}\n"
        "      b: {op: inner, input: $input, width: 2}\n"
        "      join: {op: concat, inputs: [a, b, a/one]}\n"
        "  inner:\n    parameters: [width]\n    layers:\n"
        "      one: {op: conv, out_channels: $width, kernel: 1}\n"
        "      two: {op: relu}\n"
        "layers:\n  x: {op: outer, n: 4}\n  y: {op: inner, width: 1}\n",
    )
    assert reads(network) == {
        "x/a/one": ("input",),
        "x/a/two": ("x/a/one",),
        "x/b/one": ("input",),
        "x/b/two": ("x/b/one",),
        "x/join": ("x/a/two", "x/b/two", "x/a/one"),
        "y/one": ("x/join",),
        "y/two": ("y/one",),
    }
    assert network.by_name["x/join"].output_shape == (4 + 2 + 4, 8, 8)


# --- Mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ("{op: conv, kernel: 3}", ["4:6: layers.a.out_channels: missing key 'out_channels'"]),
        (
            "{op: conv, out_channels: 1, kernel: 3, strid: 1}",
            ["4:45: layers.a.strid: unknown key 'strid'; did you mean 'stride'?"],
        ),
        (
            "{op: relu, imput: b}",
            ["4:17: layers.a.imput: unknown key 'imput'; did you mean 'input'?"],
        ),
        ("{op: cnv}", ["4:11: layers.a.op: unknown op 'cnv'; did you mean 'conv'?"]),
        ("{kernel: 3}", ["4:6: layers.a.op: missing key 'op'"]),
        ("relu", ["4:6: layers.a: expected a mapping, found 'relu'"]),
        ("", ["4:5: layers.a: expected a mapping, found nothing"]),
        ("{op: relu, input: b}", ["4:3: layers.a: unknown input 'b'"]),
        (
            "{op: relu, input: inptu}",
            ["4:3: layers.a: unknown input 'inptu'; did you mean 'input'?"],
        ),
        (
            "{op: relu, input: a}",
            ["4:3: layers.a: lies on a cycle through 'a'; let it read another layer"],
        ),
        (
            "{op: relu, input: [input]}",
            ["4:24: layers.a.input: is one name; use inputs: [input]"],
        ),
        (
            "{op: relu, inputs: []}",
            ["4:25: layers.a.inputs: expected at least 1 of them, found an empty list"],
        ),
        (
            "{op: relu, input: input, inputs: [input]}",
            ["4:6: layers.a: give `input` or `inputs`, not both"],
        ),
        (
            "{op: relu, input: $input}",
            ["4:24: layers.a.input: '$input' has no meaning here; parameters stand inside blocks"],
        ),
        (
            "{op: max_pool, kernel: big, padding: [1, 2, 3]}",
            [
                "4:29: layers.a.kernel: expected a whole number, a pair [height, width] or "
                "'global', found 'big'",
                "4:43: layers.a.padding: expected a whole number, a pair [height, width], four "
                "sides [top, bottom, left, right], 'same' or 'valid', found [1, 2, 3]",
            ],
        ),
        (
            "{op: max_pool, kernel: [3, 0], padding: -1, ceil_mode: 7}",
            [
                "4:33: layers.a.kernel[1]: expected a number above 0, found 0",
                "4:46: layers.a.padding: expected a number of at least 0, found -1",
                "4:61: layers.a.ceil_mode: expected true or false, found 7",
            ],
        ),
        (
            "{op: conv, out_channels: true, kernel: 1.5, activation: rellu}",
            [
                "4:31: layers.a.out_channels: expected a whole number, found true",
                "4:45: layers.a.kernel: expected a whole number or a pair [height, width], "
                "found 1.5",
                "4:62: layers.a.activation: expected 'relu', 'leaky_relu', 'sigmoid', 'tanh', "
                "'gelu', 'silu', 'hard_swish', 'hard_sigmoid', 'elu', 'softplus', 'relu6' or "
                "'scaled_tanh', found 'rellu'",
            ],
        ),
        (
            "{op: conv, out_channels: 1, kernel: 9}",
            [
                "4:3: layers.a: the 9x9 kernel does not fit the padded input of 8x8; "
                "use a smaller kernel or dilation, or more padding"
            ],
        ),
    ],
)
def test_a_faulty_layer(tmp_path: Path, layer: str, expected: list[str]) -> None:
    assert faults(tmp_path, HEAD + f"layers:\n  a: {layer}\n") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{}\n",
            [
                "1:1: name: missing key 'name'",
                "1:1: layers: missing key 'layers'",
                "1:1: give the network's `input`, or several under `inputs`, but not both",
            ],
        ),
        (
            "name: n\nlayers: {a: {op: relu}}\n",
            ["1:1: give the network's `input`, or several under `inputs`, but not both"],
        ),
        (
            HEAD + "layers: {}\n",
            ["3:9: layers: expected at least 1 of them, found an empty mapping"],
        ),
        (HEAD + "layers: [a]\n", ["3:9: layers: expected a mapping, found a list of 1"]),
        (
            "name: n\ninput: {channels: 3, hight: 8}\nlayers: {a: {op: cnv}}\n",
            [
                "2:8: input.height: missing key 'height'",
                "2:8: input.width: missing key 'width'",
                "2:22: input.hight: unknown key 'hight'; did you mean 'height'?",
                "3:18: layers.a.op: unknown op 'cnv'; did you mean 'conv'?",
            ],
        ),
        (
            HEAD + "weights: none.npz\nlayers: {a: {op: relu}}\n",
            ["3:10: weights: no such file: {folder}/none.npz"],
        ),
        (
            HEAD + "weights: net.yaml\nlayers: {a: {op: relu}}\n",
            ["3:10: weights: expected an .npz file, found 'net.yaml'"],
        ),
        (
            HEAD + "layers: {b: {op: relu, input: a}, a: {op: relu, input: b}, c: {op: relu}}\n",
            [
                "3:10: layers.b: lies on a cycle through 'a'; let it read another layer",
                "3:35: layers.a: lies on a cycle through 'b'; let it read another layer",
            ],
        ),
        (
            HEAD + "layers: {input: {op: relu}}\n",
            ["3:10: layers.input: this name is taken already; give each layer its own"],
        ),
    ],
)
def test_a_faulty_file(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert faults(tmp_path, text) == [line.format(folder=tmp_path) for line in expected]


BLOCK = (
    HEAD + "blocks:\n  b:\n    parameters: [c]\n    layers:\n"
    "      one: {op: conv, out_channels: $c, kernel: 3}\n"  # line 7
    "      two: {op: add, inputs: [one, $input]}\n"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            BLOCK + "layers:\n  x: {op: b}\n  y: {op: b, c: 1, d: 2, inputs: [x, input]}\n",
            [
                "10:6: layers.x.c: missing parameter 'c' of block 'b'",
                "11:20: layers.y.d: unknown parameter 'd'; use one of c",
                "11:34: layers.y.inputs: a block takes one input, found 2",
            ],
        ),
        (  # a misfit that depends on the instance: the line of the body, the instance's layer
            BLOCK + "layers:\n  x: {op: b, c: 3}\n",
            [
                "8:7: blocks.b.layers.two: input shapes differ: (3, 6, 6), (3, 8, 8) "
                "(in x/two, from line 10)"
            ],
        ),
        (  # the same fault in every instance is told once
            BLOCK + "layers:\n  x: {op: b, c: no}\n  y: {op: b, input: input, c: no}\n",
            [
                "7:37: blocks.b.layers.one.out_channels: expected a whole number, found false "
                "(in x/one and 1 more, from line 10)"
            ],
        ),
        (
            HEAD + "blocks:\n  b: {parameters: [c], layers: {one: {op: relu, x: $d}}}\n"
            "layers: {x: {op: b, c: 1}}\n",
            [
                "4:52: blocks.b.layers.one.x: unknown parameter '$d'; use one of $c, $input "
                "(in x/one, from line 5)"
            ],
        ),
        (
            HEAD + "blocks:\n  a: {layers: {x: {op: b}}}\n  b: {layers: {y: {op: a}}}\n"
            "layers: {z: {op: a}}\n",
            [
                "5:24: blocks.b.layers.y.op: a block cannot use itself: a -> b -> a "
                "(in z/x/y, from line 6)"
            ],
        ),
        (
            HEAD + "blocks:\n  relu: {layers: {x: {op: tanh}}}\nlayers: {z: {op: relu}}\n",
            ["4:3: blocks.relu: 'relu' is a layer type; give the block another name"],
        ),
        (
            HEAD
            + "blocks:\n  b: {parameters: [op], layer: {}}\nlayers: {z: {op: b}, y: {op: bb}}\n",
            [
                "4:6: blocks.b.layers: missing key 'layers'",
                "4:19: blocks.b.parameters: parameter 'op' has a meaning already; "
                "choose another name",
                "4:25: blocks.b.layer: unknown key 'layer'; did you mean 'layers'?",
                "5:30: layers.y.op: unknown op 'bb'; did you mean 'b'?",
            ],
        ),
        (
            HEAD + "blocks:\n  b: {layers: {x: {op: tanh}}}\nlayers: {input: {op: b}}\n",
            ["5:10: layers.input: the name 'input' is taken already; give each layer its own"],
        ),
        (  # a block does not see what is outside
            HEAD + "blocks:\n  b: {layers: {x: {op: tanh, input: a}}}\n"
            "layers: {a: {op: relu}, y: {op: b}}\n",
            [
                "4:16: blocks.b.layers.x: unknown input 'y/a'; did you mean 'y/x'? "
                "(in y/x, from line 5)"
            ],
        ),
    ],
)
def test_faulty_blocks(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert faults(tmp_path, text) == expected


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    """Header, syntax of layers, names, shapes and duplicates; none hides another."""
    text = (
        "name: n\nname: m\ndescripton: x\ninput: {channels: 3, height: 8, width: 8}\nlayers:\n"
        "  a: {op: conv, out_channels: 0, kernel: 3}\n"
        "  b: {op: relu}\n"  # behind a faulty layer: not told again
        "  c: {op: cnv, input: input}\n"
        "  d: {op: conv, input: input, out_channels: 4, kernel: 3, groups: 2}\n"
        "  e: {op: relu, input: nowhere}\n"
        "  f: {op: relu, input: f}\n"
    )
    assert faults(tmp_path, text) == [
        "2:1: name: duplicate key 'name', first given in line 1",
        "3:1: descripton: unknown key 'descripton'; did you mean 'description'?",
        "6:31: layers.a.out_channels: expected a number above 0, found 0",
        "8:11: layers.c.op: unknown op 'cnv'; did you mean 'conv'?",
        "9:3: layers.d: 3 input channels do not divide into 2 groups; "
        "with 3 in and 4 out, groups must divide 1",
        "10:3: layers.e: unknown input 'nowhere'",
        "11:3: layers.f: lies on a cycle through 'f'; let it read another layer",
    ]


def test_repeated_layers_read_the_one_before(tmp_path: Path) -> None:
    network = load(
        tmp_path,
        HEAD
        + """
blocks:
  pair:
    parameters: [n]
    layers:
      a: {op: relu, repeat: $n}
      b: {op: tanh}
layers:
  first: {op: relu, repeat: 2}
  more:  {op: pair, repeat: [3, 4], n: 2}
  last:  {op: add, inputs: [first, more]}
""",
    )
    assert [(layer.name, layer.inputs) for layer in network.layers] == [
        ("first_1", ("input",)),
        ("first_2", ("first_1",)),
        ("more_3/a_1", ("first_2",)),
        ("more_3/a_2", ("more_3/a_1",)),
        ("more_3/b", ("more_3/a_2",)),
        ("more_4/a_1", ("more_3/b",)),
        ("more_4/a_2", ("more_4/a_1",)),
        ("more_4/b", ("more_4/a_2",)),
        ("last", ("first_2", "more_4/b")),
    ]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("{op: relu, repeat: [3, 2]}", "repeat [3, 2] ends before it begins"),
        ("{op: add, inputs: [input, input], repeat: 2}", "give it one input"),
        ("{op: relu, repeat: 0}", "a number above 0"),
        ("{op: relu, repeat: 16777216}", "more than 20,000 layers"),
        ("{op: dense, repeat: 16777216}", "missing key 'out_features'"),  # told once
    ],
)
def test_what_cannot_be_repeated_is_refused(tmp_path: Path, layer: str, message: str) -> None:
    (told,) = faults(tmp_path, HEAD + f"layers:\n  a: {layer}\n")
    assert message in told


def test_names_that_repeat_makes_may_not_be_taken(tmp_path: Path) -> None:
    (told,) = faults(tmp_path, HEAD + "layers:\n  a_1: {op: relu}\n  a: {op: relu, repeat: 2}\n")
    assert "a_1" in told or "taken" in told
