"""One door for all networks: built-in names and files by suffix."""

from pathlib import Path

import pytest

from accelsim.errors import InputError
from accelsim.frontend import load_network
from accelsim.frontend.builtin import builtin_names, builtin_path


def test_built_in_names() -> None:
    assert {"alexnet", "googlenet", "lenet5", "vgg16", "vgg19"} <= set(builtin_names("workloads"))
    assert builtin_names("workloads") == sorted(builtin_names("workloads"))
    assert all(builtin_path("workloads", name).is_file() for name in builtin_names("workloads"))


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".YAML"])
def test_yaml_by_suffix(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mine{suffix}"
    path.write_text("name: own\ninput: {features: 3}\nlayers: {a: {op: relu}}\n")
    assert load_network(path).name == load_network(str(path)).name == "own"


def test_csv_by_suffix(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("Layer, M, N, K,\na, 1, 2, 3,\n")
    assert load_network(path).name == "mine"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "googlnet",
            "unknown network 'googlnet'; did you mean 'googlenet'? built in are alexnet, ",
        ),
        ("zzz", "unknown network 'zzz'; built in are alexnet, "),
        ("net.txt", "net.txt: cannot tell the format; network files end in .yaml, .yml, .csv"),
        ("some/net", "some/net: cannot tell the format; network files end in .yaml, .yml, .csv"),
        ("none.yaml", "none.yaml: no such file"),
        ("none.csv", "none.csv: no such file"),
    ],
)
def test_what_cannot_be_loaded(name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_network(name)
    assert str(caught.value).startswith(message)
