"""One more token, in compare and in sweeps, is that of `run --decode`."""

import json
from pathlib import Path

import pytest

from accelsim.errors import InputError
from accelsim.facade import decoding, simulate
from accelsim.frontend.sweep_file import sweep_from
from accelsim.sweep.space import resolve

CAUSAL = """\
name: causal
inputs: {x: {rows: 6, features: 8}}
layers:
  q: {op: dense, out_features: 8, input: x}
  k: {op: dense, out_features: 8, input: x}
  v: {op: dense, out_features: 8, input: x}
  mixed: {op: attention, heads: 2, causal: true, inputs: [q, k, v]}
"""


@pytest.fixture
def causal(tmp_path: Path) -> Path:
    path = tmp_path / "causal.yaml"
    path.write_text(CAUSAL)
    return path


def test_compare_times_one_more_token(cli, causal: Path) -> None:
    """Of 40 keys and values, of 8 features each, and three dense layers of one token."""
    asked = ("--decode", "--past", "39")
    data = json.loads(cli("compare", causal, "--hardware", "edge_ws", *asked, "--json", "-").stdout)
    wanted = simulate(decoding(str(causal), 39), "edge_ws")
    for run in data["runs"]:
        assert run["totals"]["macs"] == 3 * 8 * 8 + 2 * 40 * 8
        if run["dataflow"] == wanted.dataflow:
            assert run["totals"]["cycles"] == wanted.cycles


def test_compare_needs_both_options(cli, causal: Path) -> None:
    outcome = cli("compare", causal, "--hardware", "edge_ws", "--decode")
    assert outcome.status == 2
    assert "--past N" in outcome.stderr


def test_a_sweep_times_one_more_token(causal: Path) -> None:
    said = {"name": "s", "networks": [str(causal)], "base": "edge_ws"}
    found = resolve(sweep_from({**said, "mode": "decoding", "past": 39}))
    (network,) = found.networks.values()
    assert network.macs == 3 * 8 * 8 + 2 * 40 * 8
    (point,) = found.points
    assert point.key != resolve(sweep_from(said)).points[0].key


@pytest.mark.parametrize("said", [{"mode": "decoding"}, {"past": 3}])
def test_a_sweep_needs_both_keys(said: dict[str, object], causal: Path) -> None:
    given = {"name": "s", "networks": [str(causal)], "base": "edge_ws", **said}
    with pytest.raises(InputError, match="go together"):
        resolve(sweep_from(given))
