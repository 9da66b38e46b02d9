"""RNN, LSTM and GRU modules of PyTorch against the equations of its documentation, in NumPy."""

from typing import Any

import numpy as np
import pytest
from numpy.random import Generator, default_rng

import accelsim
from accelsim.errors import UncoveredError
from accelsim.frontend.pytorch import network_of_program
from accelsim.frontend.pytorch.program import program_of
from accelsim.numerics.formats import Array

FLOAT32 = "precision={ifmap: float32, filter: float32, psum: float32, ofmap: float32}"
TIMES, IMAGES, WIDE, SIZE = 3, 2, 5, 4
GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def step(kind: str, x: Array, h: Array, c: Array, arrays: list[Array]) -> tuple[Array, Array]:
    """torch.nn.LSTM, GRU and RNN: gates i f g o, r z n, and one."""
    w, r, b, d = [*arrays, *(np.float32(0),) * 2][:4]
    read, kept = x @ w.T + b, h @ r.T + d
    if kind == "lstm":
        i, f, g, o = np.split(read + kept, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        return sigmoid(o) * np.tanh(c), c
    if kind == "gru":
        (ri, zi, ni), (rh, zh, nh) = (np.split(each, 3, axis=-1) for each in (read, kept))
        reset, update = sigmoid(ri + rh), sigmoid(zi + zh)
        return (1 - update) * np.tanh(ni + reset * nh) + update * h, c
    return (np.tanh if kind == "rnn_tanh" else lambda y: np.maximum(y, 0))(read + kept), c


def module(
    kind: str, x: Array, state: list[Array], arrays: list[list[Array]], ways: int
) -> tuple[Array, Array, Array]:
    """All times (T, N, ways * SIZE), the last h and c, (layers * ways, N, SIZE)."""
    ends = []
    for first in range(0, len(arrays), ways):
        made = []
        for way in range(ways):
            h, c = (each[first + way] for each in (state[0], state[-1]))
            found = {}
            for time in range(TIMES)[:: -1 if way else 1]:
                h, c = found[time], _ = step(kind, x[time], h, c, arrays[first + way])
                found[time] = h
            made.append(np.stack([found[time] for time in range(TIMES)]))
            ends.append((h, c))
        x = np.concatenate(made, axis=-1)
    return x, np.stack([h for h, _ in ends]), np.stack([c for _, c in ends])


def drawn(rng: Generator, kind: str, layers: int, ways: int, biased: bool) -> list[list[Array]]:
    tall = GATES[kind] * SIZE
    shapes = [
        [(tall, WIDE if layer == 0 else ways * SIZE), (tall, SIZE), *[(tall,)] * (2 * biased)]
        for layer in range(layers)
        for _ in range(ways)
    ]
    return [[rng.standard_normal(s).astype(np.float32) for s in each] for each in shapes]


def document(
    kind: str,
    arrays: list[list[Array]],
    layers: int,
    ways: int,
    first: bool,
    read: int,
    given: bool,
) -> tuple[dict[str, Any], dict[str, Array]]:
    """torch.export's graph of a module of which result `read` is the output."""
    named = {f"w{at}": each for at, each in enumerate(each for part in arrays for each in part)}
    ends = [layers * ways, IMAGES, SIZE]
    made = [IMAGES, TIMES, ways * SIZE] if first else [TIMES, IMAGES, ways * SIZE]
    inputs = {"x": [*made[:2], WIDE]}
    states: Any = [{"ref": f"s{at}"} for at in range(2 if kind == "lstm" else 1)]
    calls = [[each["ref"], "aten.zeros.default", [ends], {}, ends] for each in states]
    if given:
        inputs, calls = inputs | {each["ref"]: ends for each in states}, []
    biased = len(arrays[0]) == 4
    said = [[{"ref": name} for name in named], biased, layers, 0.0, False, ways == 2, first]
    state = states if kind == "lstm" else states[0]
    results = [made, ends, ends][: 1 + len(states)]
    calls += [["y", f"aten.{kind}.input", [{"ref": "x"}, state, *said], {}, results]]
    calls += [
        [f"part{at}", "getitem", [{"ref": "y"}, at], {}, shape] for at, shape in enumerate(results)
    ]
    shapes = {name: list(array.shape) for name, array in named.items()}
    plain = {"name": kind, "inputs": inputs, "parameters": shapes, "calls": calls}
    return plain | {"outputs": [f"part{read}"]}, named


CASES = [  # kind, layers, directions, biased, batch first, which result, states given
    ("lstm", 1, 1, True, True, 0, False),
    pytest.param("lstm", 2, 2, True, False, 0, True, marks=pytest.mark.slow),
    ("lstm", 2, 1, False, True, 2, False),
    ("lstm", 1, 2, True, False, 1, True),
    ("gru", 1, 2, True, True, 0, False),
    ("gru", 2, 1, True, False, 0, True),
    ("gru", 2, 2, False, True, 1, False),
    ("rnn_tanh", 2, 1, True, False, 1, False),
    ("rnn_relu", 1, 2, True, True, 0, False),
]


@pytest.mark.parametrize(("kind", "layers", "ways", "biased", "first", "read", "given"), CASES)
def test_values_are_those_of_the_equations(
    kind: str, layers: int, ways: int, biased: bool, first: bool, read: int, given: bool
) -> None:
    rng = default_rng(layers + 10 * ways)
    arrays = drawn(rng, kind, layers, ways, biased)
    network = network_of_program(
        program_of(*document(kind, arrays, layers, ways, first, read, given))
    )
    x = rng.standard_normal((TIMES, IMAGES, WIDE)).astype(np.float32)
    state = [
        given * rng.standard_normal((layers * ways, IMAGES, SIZE)).astype(np.float32)
        for _ in range(2 if kind == "lstm" else 1)
    ]
    wanted = module(kind, x, state, arrays, ways)[read]
    if first:
        x, wanted = x.swapaxes(0, 1), wanted.swapaxes(0, 1) if read == 0 else wanted
    inputs = {"x": x} | {f"s{at}": each for at, each in enumerate(state) if given}
    (found,) = accelsim.compute(network, "edge_ws", inputs=inputs, set=[FLOAT32]).outputs.values()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_parameters_and_products_by_hand() -> None:
    """A GRU keeps both biases; of an LSTM they are one. Its first step has no state to multiply."""
    for kind, biases, steps in (("gru", 2, TIMES - 1), ("lstm", 1, TIMES - 1)):
        arrays = drawn(default_rng(0), kind, 1, 1, True)
        network = network_of_program(program_of(*document(kind, arrays, 1, 1, True, 0, False)))
        tall = GATES[kind] * SIZE
        assert network.parameters == tall * (WIDE + SIZE + biases)
        extra = kind == "gru"  # whose state's bias is added inside a product of zeros
        assert network.macs == tall * (WIDE * TIMES + SIZE * (steps + extra))


@pytest.mark.parametrize(
    ("target", "change", "told"),
    [
        ("aten.lstm.data", {}, "of packed sequences"),
        ("aten.lstm.input", {5: 0.5, 6: True}, r"say \.eval\(\) first"),
        ("aten.lstm.input", {4: 2}, "with a projection of its state"),
    ],
)
def test_what_is_not_known_is_told(target: str, change: dict[int, Any], told: str) -> None:
    arrays = drawn(default_rng(0), "lstm", 1, 1, True)
    plain, named = document("lstm", arrays, 1, 1, True, 0, False)
    call = plain["calls"][2]
    call[1] = target
    for place, value in change.items():
        call[2][place] = value
    with pytest.raises(UncoveredError, match=told):
        network_of_program(program_of(plain, named))
