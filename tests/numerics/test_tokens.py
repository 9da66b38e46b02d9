"""Layers of sequences, attention, and the step that decodes one token."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from layers import FLOAT32, INT8, ofmap_of, step_of
from test_tiled import FLOAT, UINT8, check, hardware, single, verified
from typer.testing import CliRunner

import accelsim
from accelsim.cli import app
from accelsim.errors import InputError, ShapeError
from accelsim.frontend import load_network
from accelsim.lowering.kernels import Alias, VectorKernel, kernel_of
from accelsim.lowering.lower import lower
from accelsim.network.backward import training_step
from accelsim.network.decoding import decoding_step
from accelsim.network.graph import GraphError, LayerSpec, Network, build_network
from accelsim.network.ops import (
    Add,
    Append,
    AsValues,
    Attention,
    ClassToken,
    Dense,
    Embedding,
    Line,
    Op,
    Position,
    Relu,
    Rotary,
    Shape,
)
from accelsim.numerics.formats import Array, Quantization, Tensor
from accelsim.numerics.parameters import Parameters
from accelsim.numerics.ranges import ranges_of
from accelsim.numerics.reference import compute, reference
from accelsim.numerics.tokens import entries_of

CASES = {
    "embedding": single(Embedding(entries=500, features=30), (40,)),
    "numbers as values": single(AsValues(), (500,)),
    "position": single(Position(length=30, offset=3), (17, 30)),
    "class token": single(ClassToken(), (17, 30)),
    "rotary": single(Rotary(heads=3, offset=7), (17, 36)),
    "rotary, interleaved": single(Rotary(heads=3, interleaved=True), (17, 36)),
}


@pytest.mark.parametrize("network", CASES.values(), ids=CASES)
@pytest.mark.parametrize("machine", [("ws", *UINT8), ("rs", "array.count=3"), ("os", *FLOAT)])
def test_tiles_equal_the_reference(network: Network, machine: tuple[str, ...]) -> None:
    result = check(network, hardware(*machine))
    assert (result.mismatches, result.problems) == (0, ())
    assert lower(network, hardware(*machine), 2).layers[0].tiles > 1


def test_embedding_takes_rows_of_its_table() -> None:
    table = np.arange(12, dtype=np.int8).reshape(4, 3)
    numbers = Tensor(np.array([[3, 0]], np.int32))
    work = step_of(
        Embedding(entries=4, features=3),
        numbers,
        output=Quantization(0.5, 1),
        arrays={"weight": table},
        weight_scale=[1.0, 1.0, 1.0, 2.0],
        weight_zero_point=1,
    )
    assert compute(work).values.tolist() == [[[33, 37, 41], [-1, 1, 3]]]  # 2 (9 - 1) / 0.5 + 1


def test_numbers_that_are_computed_are_rounded_and_stay_in_the_table() -> None:
    """Negative ones count from the end; a code stands for 0.5 (code - 2)."""
    reals = Tensor(np.float32([[0, 1.4, 1.6, -1, -9, 9, np.nan]]))
    assert entries_of(reals, 4).tolist() == [[0, 1, 2, 3, 0, 3, 0]]
    codes = Tensor(np.int8([[2, 4, 5, 0, 127]]), Quantization(0.5, 2))
    assert entries_of(codes, 4).tolist() == [[0, 1, 2, 3, 3]]


def test_numbers_are_values_as_far_as_codes_reach() -> None:
    numbers = Tensor(np.array([[0, 7, 300]], np.int32))
    work = step_of(AsValues(), numbers, arithmetic=FLOAT32)
    assert compute(work).values.tolist() == [[0, 7, 300]]
    network = single(AsValues(), (3,))
    meaning = ranges_of(network, INT8.activation, {})[network.layers[0].name].quantization
    assert meaning == Quantization(1.0, -128)
    work = step_of(AsValues(), numbers, output=meaning, arithmetic=INT8)
    assert compute(work).values.tolist() == [[-128, -121, 127]]


def looked_up() -> Network:
    """Numbers look up one table, and what is computed of them another."""
    layers = [
        LayerSpec("word", Embedding(entries=40, features=6), ("x",)),
        LayerSpec("values", AsValues(), ("x",)),
        LayerSpec("half", Line(factor=0.5, term=-3.0), ("values",)),
        LayerSpec("place", Embedding(entries=20, features=6), ("half",)),
        LayerSpec("sum", Add(), ("word", "place")),
    ]
    return build_network("n", {"x": (12,)}, layers)


@pytest.mark.parametrize("machine", [("ws", *UINT8), ("rs",), ("os", *FLOAT)])
def test_tables_are_looked_up_by_what_is_computed(machine: tuple[str, ...]) -> None:
    result = check(looked_up(), hardware(*machine))
    assert (result.mismatches, result.problems) == (0, ())


def test_rows_of_a_table_come_from_dram_wherever_their_numbers_are() -> None:
    """12 rows of 6 bytes; what numbers them is 12 bytes, and stays on chip for nobody."""
    layers = {each.layer.name: each for each in lower(looked_up(), hardware("ws"), 1).layers}
    assert layers["place"].dram.read_bytes == layers["word"].dram.read_bytes == 12 * 6
    assert layers["half"].dram.write_bytes == 12


def test_numbers_have_no_gradient() -> None:
    step = training_step(looked_up(), "mse")
    assert {"word.weight@update", "place.weight@update"} <= set(step.by_name)
    assert not any(name.startswith(("half@", "values@")) for name in step.by_name)


def test_places_begin_at_the_offset() -> None:
    x, table = np.ones((1, 2, 2), np.int8), np.arange(8, dtype=np.int8).reshape(4, 2)
    ofmap = ofmap_of(Position(length=4, offset=1), Tensor(x), arrays={"weight": table})
    assert ofmap.tolist() == [[[3, 4], [5, 6]]]


def test_the_class_token_comes_first() -> None:
    x = Tensor(np.full((2, 2, 2), 5, np.int8))
    ofmap = ofmap_of(ClassToken(), x, arrays={"weight": np.int8([[7, 8]])})
    assert ofmap.tolist() == [[[7, 8], [5, 5], [5, 5]]] * 2


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_turns_pairs_as_complex_numbers(interleaved: bool) -> None:
    x = np.random.default_rng(5).standard_normal((1, 6, 16)).astype(np.float32)
    op = Rotary(heads=2, offset=3, base=100.0, interleaved=interleaved)
    heads = x.reshape(1, 6, 2, 8)
    first, second = (
        (heads[..., ::2], heads[..., 1::2]) if interleaved else (heads[..., :4], heads[..., 4:])
    )
    times = np.arange(3, 9)[:, None, None] * 100.0 ** (-np.arange(4) / 4)
    turned = (first + 1j * second) * np.exp(1j * times)
    got = ofmap_of(op, Tensor(x), arithmetic=FLOAT32).reshape(1, 6, 2, 8)
    pairs = (got[..., ::2], got[..., 1::2]) if interleaved else (got[..., :4], got[..., 4:])
    assert np.abs(pairs[0] + 1j * pairs[1] - turned).max() < 1e-6


def test_traffic_of_a_table_is_the_rows_that_are_taken() -> None:
    kernel = kernel_of(CASES["embedding"].layers[0], 2)
    assert isinstance(kernel, VectorKernel)
    dram = lower(CASES["embedding"], hardware("ws"), 2).layers[0].dram
    assert dram.read_bytes == dram.write_bytes == 2 * 40 * 30


# --- What does not fit ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "shapes", "message"),
    [
        (Position(length=4, offset=2), ((3, 5),), "3 tokens from 2 on exceed length 4"),
        (Rotary(heads=2), ((3, 6),), "6 features are no pairs of 2 heads"),
        (Append(), ((3, 6), (3, 5)), "features differ"),
        (Append(), ((3, 6),), "takes two matrices"),
        (Append(), ((2, 3, 6), (4, 3, 6)), "as many matrices"),
        (Embedding(entries=3, features=2), ((3, 6),), "needs a vector"),
    ],
)
def test_misfits_are_refused(op: Op, shapes: tuple[Shape, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        op.output_shape(shapes)


TABLE = Embedding(entries=9, features=4)


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        ([("a", TABLE, "x"), ("b", Relu(), "x")], "computes with a network input that numbers"),
        (
            [("a", TABLE, "x"), ("b", Dense(out_features=8, bias=False, shares="a"), "a")],
            r"needs a weight of shape \(8, 4\), but 'a' has \(9, 4\)",
        ),
        (
            [("a", TABLE, "x"), ("b", Dense(out_features=9, bias=False, shares="c"), "a")],
            "'c' is no layer with a weight",
        ),
        (
            [("a", TABLE, "x"), ("b", Dense(out_features=9, shares="a"), "a")],
            "takes the bias of 'a', which has none; say bias: false",
        ),
    ],
)
def test_networks_that_cannot_be_are_refused(
    specs: list[tuple[str, Op, str]], message: str
) -> None:
    with pytest.raises(GraphError, match=message):
        build_network("n", {"x": (5,)}, [LayerSpec(name, op, (x,)) for name, op, x in specs])


# --- Attention ------------------------------------------------------------------------------------

FILE = """
name: small
input: {{features: 10}}
blocks:
  block:
    parameters: []
    layers:
      norm1: {{op: {norm}, input: $input}}
      q: {{op: dense, out_features: 24}}
      {turn_q}
      k: {{op: dense, out_features: 12, input: norm1}}
      {turn_k}
      v: {{op: dense, out_features: 12, input: norm1}}
      heads: {{op: attention, heads: 4, key_heads: 2, causal: {causal}, inputs: [{q}, {k}, v]}}
      proj: {{op: dense, out_features: 24}}
      add1: {{op: add, inputs: [$input, proj]}}
      norm2: {{op: {norm}}}
      wide: {{op: dense, out_features: 48, activation: gelu}}
      narrow: {{op: dense, out_features: 24}}
      add2: {{op: add, inputs: [add1, narrow]}}
layers:
  tokens: {{op: embedding, entries: 50, features: 24}}
  {places}
  block: {{op: block, repeat: 2}}
  norm: {{op: {norm}}}
  logits: {{op: dense, out_features: 50, bias: false, shares: tokens}}
"""
BERT = {
    "norm": "layer_norm",
    "turn_q": "",
    "turn_k": "",
    "q": "q",
    "k": "k",
    "places": "places: {op: position, length: 40}",
    "causal": "false",
}
GPT = BERT | {"causal": "true"}
LLAMA = GPT | {
    "norm": "rms_norm",
    "turn_q": "rq: {op: rotary, heads: 4}",
    "turn_k": "rk: {op: rotary, heads: 2}",
    "q": "rq",
    "k": "rk",
    "places": "",
}


def small(folder: Path, model: Mapping[str, str]) -> Network:
    path = folder / "small.yaml"
    path.write_text(FILE.format(**model), encoding="utf-8")
    return load_network(path)


@pytest.mark.parametrize(
    ("model", "machine"),
    [(BERT, ("ws",)), (LLAMA, ("rs", *UINT8)), (LLAMA, ("os", *FLOAT))],
    ids=["bert", "llama, uint8", "llama, float32"],
)
def test_small_transformers_verify(
    tmp_path: Path, model: Mapping[str, str], machine: tuple[str, ...]
) -> None:
    """Integers bit for bit, floats within their bounds; values neither vanish nor clip."""
    found = verified(lower(small(tmp_path, model), hardware(*machine), 2))
    assert [each.name for each in found if each.mismatches or each.problems] == []
    if machine != ("os", *FLOAT):
        clipped = [each.spread.saturated for each in found if each.op != "softmax"]
        assert max(clipped) < 0.15


def values_of(network: Network, given: Mapping[str, Array]) -> dict[str, Array]:
    parameters = Parameters.of(network, FLOAT32, given=given)
    return {
        work.layer.name: ofmap.values for work, ofmap in reference(network, FLOAT32, parameters)
    }


@pytest.mark.parametrize("model", [GPT, LLAMA], ids=["gpt", "llama"])
def test_a_decoded_token_is_that_of_the_whole_sequence(
    tmp_path: Path, model: Mapping[str, str]
) -> None:
    network = small(tmp_path, model)
    numbers = np.arange(10)[None] * 7 % 50
    whole = values_of(network, {"input": numbers})
    step = decoding_step(network, 9)
    cached = [name for name in step.inputs if name.endswith("@past")]
    assert len(cached) == 4  # keys and values of two blocks
    past = {name: whole[name.removesuffix("@past")][:, :9] for name in cached}
    one = values_of(step, {"input": numbers[:, 9:], **past})
    for name in ("logits", "block_2/add2"):
        assert np.abs(one[name][:, 0] - whole[name][:, 9]).max() < 1e-5
        assert np.abs(whole[name]).max() > 0.1


def test_a_decoding_step_fetches_weights_and_cache(tmp_path: Path) -> None:
    step = decoding_step(small(tmp_path, LLAMA), 1000)
    assert step.by_name["block_1/heads/scores"].output_shape == (4, 1, 1001)
    program = lower(step, hardware("ws"))
    reads = {each.layer.name: each.dram.read_bytes for each in program.layers}
    assert reads["block_1/heads/scores"] >= 1001 * 12
    assert reads["block_1/heads/context"] >= 1001 * 12
    assert reads["logits"] >= 50 * 24
    appended = program.layers[[each.layer.name for each in program.layers].index("block_1/v@cache")]
    assert isinstance(appended.kernel, Alias)
    assert all(check.passed for check in verified(program))


def test_what_cannot_be_decoded_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no causal attention"):
        decoding_step(small(tmp_path, BERT), 9)
    with pytest.raises(InputError, match="cannot be decoded token by token: 1 tokens from 40 on"):
        decoding_step(small(tmp_path, GPT), 40)
    with pytest.raises(InputError, match="expected 1 to"):
        accelsim.decoding("gpt2", 0)


def test_attention_is_three_layers(tmp_path: Path) -> None:
    names = [name for name, _, _ in Attention(heads=2).parts("a", ("q", "k", "v"))]
    assert names == ["a/scores", "a/shares", "a/context"]
    with pytest.raises(ShapeError, match="takes queries, keys and values, found 2 inputs"):
        Attention(heads=2).parts("a", ("q", "k"))
    path = tmp_path / "n.yaml"
    path.write_text(
        "name: n\ninput: {rows: 3, features: 8}\nlayers:\n  a: {op: attention, heads: 2}\n"
    )
    with pytest.raises(InputError, match="takes queries, keys and values, found 1 inputs"):
        load_network(path)


def test_scales_of_a_shared_weight_use_the_codes() -> None:
    """The output layer of an int8 network neither vanishes nor clips."""
    specs = [
        LayerSpec("tokens", Embedding(entries=300, features=64), ("x",)),
        LayerSpec("logits", Dense(out_features=300, bias=False, shares="tokens"), ("tokens",)),
    ]
    network = build_network("n", {"x": (20,)}, specs)
    ofmaps = {
        work.layer.name: ofmap.values
        for work, ofmap in reference(network, INT8, Parameters.of(network, INT8))
    }
    assert 10 < ofmaps["logits"].astype(float).std() < 80


def test_numbers_of_entries_are_checked(tmp_path: Path) -> None:
    network = small(tmp_path, BERT)
    with pytest.raises(InputError, match="holds 3 to 50, but there are 50 entries"):
        accelsim.compute(network, inputs={"input": np.full(10, 3) + 47 * (np.arange(10) == 4)})
    with pytest.raises(InputError, match="needs whole numbers of entries"):
        accelsim.compute(network, inputs={"input": np.zeros(10)})
    values = accelsim.compute(network, inputs={"input": np.arange(10)}, layers=["tokens"])
    assert values.ofmaps["tokens"].shape == (1, 10, 24)


def test_scores_are_scaled_by_the_root_of_a_heads_size(tmp_path: Path) -> None:
    network = small(tmp_path, BERT)
    layer = network.by_name["block_1/heads/scores"]
    assert layer.op.factor_of(layer.input_shapes) == 1 / math.sqrt(6)  # type: ignore[attr-defined]


def test_the_command_line_decodes(tmp_path: Path) -> None:
    small(tmp_path, GPT)
    path, out = str(tmp_path / "small.yaml"), tmp_path / "out.json"
    asked = ["run", path, "edge_ws", "--decode", "--past", "9", "--json", str(out)]
    assert CliRunner().invoke(app, asked).exit_code == 0
    result = json.loads(out.read_text())
    assert result["network"] == "small, a token after 9"
    assert any(layer["name"] == "block_1/v@cache" for layer in result["layers"])
    assert CliRunner().invoke(app, ["run", str(out), "--again"]).exit_code == 0
    for wrong in (["--decode"], ["--past", "9"], ["--decode", "--past", "40"]):
        assert CliRunner().invoke(app, ["run", path, "edge_ws", *wrong]).exit_code == 2
