"""A table of connections: LeNet-5's C3, as LeCun et al. 1998 count it, and a masked convolution."""

from pathlib import Path

import numpy as np
import pytest

from accelsim.computing import compute
from accelsim.errors import InputError
from accelsim.facade import simulate, verify
from accelsim.frontend import load_network
from accelsim.network.backward import training_step
from accelsim.network.graph import Network
from accelsim.network.passes import prepare_for_inference

TABLE_1 = (  # LeCun et al. 1998, table I: the maps of S2 that each of the 16 maps of C3 reads
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 4, 5)),
)
FLOATS = "precision={ifmap: float32, filter: float32, psum: float32, ofmap: float32}"


def connected(tmp_path: Path, table: object, more: str = "", first: str = "") -> Network:
    path = tmp_path / "connected.yaml"
    listed = [list(maps) for maps in table] if isinstance(table, tuple) else table
    path.write_text(
        f"name: connected\n{first}input: {{channels: 6, height: 14, width: 14}}\nlayers:\n"
        f"  C3: {{op: connected_conv, connections: {listed}, kernel: 5{more}}}\n"
    )
    return load_network(path)


def test_c3_has_the_parameters_and_connections_of_the_paper(tmp_path: Path) -> None:
    """1,516 parameters and 151,600 connections, of which 16 biases at 100 places are 1,600."""
    network = connected(tmp_path, TABLE_1)
    assert network.parameters == 1_516
    assert network.macs == 151_600 - 1_600
    assert network.layers[-1].output_shape == (16, 10, 10)
    assert simulate(network, "edge_ws").macs == network.macs


def test_it_is_a_convolution_whose_other_weights_are_zero(tmp_path: Path) -> None:
    """The first two read the same maps, so they are one."""
    generator = np.random.default_rng(0)
    weights = [generator.standard_normal(shape) for shape in ((2, 2, 5, 5), (1, 3, 5, 5))]
    x = generator.standard_normal((2, 6, 14, 14)).astype(np.float32)
    arrays = {f"C3/conv{at}.weight": each for at, each in enumerate(weights)}
    np.savez(tmp_path / "connected.npz", **{k: v.astype(np.float32) for k, v in arrays.items()})
    table = ((4, 1), (4, 1), (0, 2, 5))
    network = connected(tmp_path, table, ", bias: false, stride: 2", "weights: connected.npz\n")
    values = compute(network, "edge_ws", inputs={"input": x}, set=[FLOATS])
    found = values.ofmaps["C3/whole"]
    whole = np.zeros((3, 6, 5, 5))
    whole[:2, [4, 1]], whole[2, [0, 2, 5]] = weights
    seen = np.lib.stride_tricks.sliding_window_view(x, (5, 5), (2, 3))[:, :, ::2, ::2]
    np.testing.assert_allclose(found, np.einsum("ncpqrs,kcrs->nkpq", seen, whole), atol=1e-4)


@pytest.mark.parametrize("machine", ["edge_ws", "eyeriss"])
def test_its_tiles_are_exact(machine: str, tmp_path: Path) -> None:
    assert verify(connected(tmp_path, TABLE_1[:3]), machine).passed


def combined(tmp_path: Path, more: str = "", told: int = 3) -> Network:
    path = tmp_path / "combined.yaml"
    path.write_text(
        "name: combined\ninput: {channels: 3, height: 7, width: 6}\nlayers:\n  C3: {op: combined_"
        f"conv, in_channels: {told}, out_channels: 4, kernel: 3, activation: tanh{more}}}\n"
    )
    return load_network(path)


def test_a_learned_combination_is_bouvries_sum(tmp_path: Path) -> None:
    """x_j = f(sum_i alpha_ij (x_i * k_i) + b_j), alpha_j = softmax(c_j)."""
    generator = np.random.default_rng(0)
    network = combined(tmp_path)
    shapes = {"C3/maps.weight": (3, 1, 3, 3), "C3/mixed.c": (4, 3), "C3/mixed.bias": (4,)}
    arrays = {name: generator.standard_normal(shape) for name, shape in shapes.items()}
    x = generator.standard_normal((2, 3, 7, 6))
    single = {name: array.astype(np.float32) for name, array in arrays.items()}
    np.savez(tmp_path / "own.npz", **single)
    path = tmp_path / "combined.yaml"
    path.write_text("weights: own.npz\n" + path.read_text())
    given = {"input": x.astype(np.float32)}
    found = compute(load_network(path), "edge_ws", inputs=given, set=[FLOATS]).ofmaps["C3/mixed"]
    seen = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))
    maps = np.einsum("ncpqrs,crs->ncpq", seen, arrays["C3/maps.weight"][:, 0])
    alpha = np.exp(arrays["C3/mixed.c"])
    alpha /= alpha.sum(1, keepdims=True)
    sums = np.einsum("ji,nipq->njpq", alpha, maps) + arrays["C3/mixed.bias"][:, None, None]
    np.testing.assert_allclose(found, np.tanh(sums), atol=1e-5)
    assert network.parameters == 3 * 9 + 4 * 3 + 4
    assert network.macs == 5 * 4 * (3 * 9 + 3 * 4)


@pytest.mark.parametrize("told", [1, 2, 6])
def test_a_combination_of_other_maps_than_there_are_is_refused(told: int, tmp_path: Path) -> None:
    """One map for 3 could be groups of 3; it is not what the file says."""
    wanted = rf"combined.yaml:4:.*C3.*in_channels is {told}, but its input has 3 maps; say .*: 3"
    with pytest.raises(InputError, match=wanted):
        combined(tmp_path, told=told)


@pytest.mark.parametrize(
    "machine", ["edge_ws", "eyeriss", pytest.param("tpu_v3", marks=pytest.mark.slow)]
)
def test_the_tiles_of_a_combination_are_exact(machine: str, tmp_path: Path) -> None:
    assert verify(combined(tmp_path), machine).passed
    if machine != "eyeriss":
        step = training_step(combined(tmp_path, ", penalty: 1"), "squared_error")
        assert verify(step, machine, set=[FLOATS]).passed


def test_a_batch_norm_stays_behind_shares(tmp_path: Path) -> None:
    """Folded, they would add up to something else."""
    path = tmp_path / "normed.yaml"
    path.write_text(
        "name: normed\ninput: {channels: 3, height: 4, width: 4}\nlayers:\n"
        "  mix: {op: mixture, out_channels: 2}\n  norm: {op: batch_norm}\n"
    )
    assert [layer.name for layer in prepare_for_inference(load_network(path)).layers] == [
        *("mix", "norm")
    ]


@pytest.mark.parametrize(
    "key", ["kernel: 1", "stride: 1", "padding: 0", "dilation: 1", "groups: 1"]
)
def test_a_mixture_has_no_keys_of_windows(key: str, tmp_path: Path) -> None:
    path = tmp_path / "mixed.yaml"
    path.write_text(
        "name: mixed\ninput: {channels: 3, height: 4, width: 4}\nlayers:\n"
        f"  mix: {{op: mixture, out_channels: 2, {key}}}\n"
    )
    with pytest.raises(InputError, match=rf"4:.*unknown key '{key.partition(':')[0]}'"):
        load_network(path)


@pytest.mark.parametrize(
    ("table", "message"),
    [("[[0, 6]]", "no map 6"), ("[[2, 2]]", "a map twice"), ("[[]]", "at least 1")],
)
def test_tables_that_are_none_are_told(table: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        connected(tmp_path, table)
