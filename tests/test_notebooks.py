"""What a notebook shows of results, and the notebook in docs/."""

import ast
import json
import pydoc
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from machines import chain, conv, dense, max_pool

import accelsim

NETWORK = chain((3, 8, 8), conv(8, 3), max_pool(2), dense(40))
TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell; what its last line shows is the same but for the numbers."""
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {}
    for cell in json.loads(TUTORIAL.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        exec(compile(tree, cell["id"], "exec"), space)
        shown = [each for each in cell["outputs"] if each["output_type"] == "execute_result"]
        if shown:
            name = ast.unparse(tree.body[-1])
            (written,) = shown[0]["data"]["text/plain"]
            assert written.partition(":")[0] == repr(space[name]).partition(":")[0]
    assert (tmp_path / "my_sweep.svg").stat().st_size > 1000


def test_results_are_one_line_and_a_table() -> None:
    result = accelsim.simulate(NETWORK, "edge_ws")
    (comparison,) = accelsim.compare(NETWORK, "edge_ws", "os,ws")
    for shown in (result, comparison, NETWORK):
        assert "\n" not in repr(shown)
        assert len(repr(shown)) < 120
        html = shown._repr_html_()
        assert html.count("<tr>") >= 1 + len(NETWORK.layers)
        assert html.count("<table>") == html.count("</table>") == 1
    assert f"{result.cycles:,} cycles" in repr(result)
    assert repr(accelsim.verify(NETWORK, "edge_ws")).endswith("passed, 0 of 400 elements differ>")


def test_whatever_is_returned_is_one_line() -> None:
    hardware = accelsim.load_hardware("edge_ws")
    layer = NETWORK.layers[0].name
    told, why = (
        accelsim.explain(NETWORK, hardware, layer),
        accelsim.what_would_help(NETWORK, hardware),
    )
    values, run = accelsim.compute(NETWORK, hardware), accelsim.simulate(NETWORK, hardware)
    for shown in (hardware, told, why, values, run.layers[0]):
        assert "\n" not in repr(shown)
        assert len(repr(shown)) < 120
        assert repr(shown).startswith(f"<{type(shown).__name__} ")
    assert told._repr_html_().count("<tr>") == 1 + len(told.contenders)
    assert why._repr_html_().count("<tr>") == 1 + len(why.changes)


def test_names_are_no_markup() -> None:
    from dataclasses import replace

    result = accelsim.simulate(NETWORK, "edge_ws")
    html = replace(result, network="<script>x</script>")._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_an_unknown_layer_is_told_the_nearest() -> None:
    result = accelsim.simulate("lenet5", "edge_ws")
    with pytest.raises(KeyError) as caught:
        result.layer("OUPUT")
    assert isinstance(caught.value, accelsim.UnknownNameError)
    assert str(caught.value) == "unknown layer 'OUPUT'; did you mean 'OUTPUT'?"
    with pytest.raises(KeyError, match="did you mean 'C3'"):
        result.layer("c3")


def test_settings_of_the_command_line_are_those_of_python() -> None:
    settings = ["array.rows=16", "energy=horowitz_45nm"]
    hardware = accelsim.load_hardware("edge_ws", settings)
    plain = accelsim.load_hardware("edge_ws")
    expected = accelsim.simulate(NETWORK, hardware)
    assert accelsim.simulate(NETWORK, "edge_ws", set=settings) == expected
    assert accelsim.simulate(NETWORK, plain, set=settings) == expected
    assert expected.energy is not None
    again = accelsim.simulate(NETWORK, hardware, set=["array.rows=32"])
    assert again.cycles == accelsim.simulate(NETWORK, "edge_ws").cycles
    assert again.energy is not None
    with pytest.raises(accelsim.InputError, match=r"did you mean 'array\.rows'"):
        accelsim.simulate(NETWORK, plain, set=["rows=4"])


def test_frames_without_and_with_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    result = accelsim.simulate(NETWORK, "edge_ws")
    (comparison,) = accelsim.compare(NETWORK, "edge_ws", "os,ws")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(accelsim.InputError, match=r"pip install 'accelsim\[frames\]'"):
        result.to_frame()
    frames = SimpleNamespace(from_records=lambda records: records)
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=frames))
    rows = result.to_frame()
    assert [row["layer"] for row in rows] == [layer.name for layer in result.layers]
    assert sum(row["macs"] for row in rows) == result.macs
    assert [row["dataflow"] for row in comparison.to_frame()] == ["os"] * 3 + ["ws"] * 3


def test_help_of_the_sweep_is_that_of_the_function() -> None:
    text = pydoc.plain(pydoc.render_doc(accelsim.sweep))
    assert re.search(r"sweep\(\s*source: ", text)  # one line, or one for each argument
    assert "`scheduler` the address of a Dask cluster" in text


def test_errors_are_public() -> None:
    for name in ("InputError", "DoesNotFitError", "UnknownNameError", "TryAgainError"):
        assert issubclass(getattr(accelsim, name), accelsim.AccelsimError)
        assert name in accelsim.__all__
