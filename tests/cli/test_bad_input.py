"""The user's mistakes: status 2, what is wrong on stderr, no traceback, nothing written."""

from importlib import import_module
from pathlib import Path

import pytest

from accelsim.errors import SimulationError
from accelsim.frontend.builtin import builtin_path

FILES = {
    "both.yaml": "name: x\nlayers: {}\narray: {}\n",
    "neither.yaml": "foo: 1\n",
    "empty.yaml": "",
    "bad.yaml": "name: bad\narray: {rows: 3.5, colz: 4}\n",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with files that are wrong."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    small = builtin_path("configs", "edge_ws").read_text().replace("64 KiB", "1 B")
    (tmp_path / "small.yaml").write_text(small)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        ("run vgg61 edge_ws", ["unknown network 'vgg61'; did you mean 'vgg"]),
        ("run lenet5 edge_wz", ["unknown hardware 'edge_wz'; did you mean 'edge_ws'?"]),
        (
            "run edge_ws lenet5",
            [
                "edge_ws: is hardware, but a network is expected here",
                "lenet5: is a network, but hardware is expected here",
            ],
        ),
        ("run lenet5 edge_ws --dataflow oss", ["unknown dataflow 'oss'; did you mean 'os'?"]),
        ("run lenet5 edge_ws --set array.rows", ["--set array.rows: expected KEY=VALUE"]),
        (
            "run lenet5 edge_ws --set array.rowz=4 --set array.cols=x",
            ["array.cols: expected a whole number", "unknown key 'rowz'; did you mean 'rows'?"],
        ),
        (
            "run lenet5 bad.yaml",
            [
                "bad.yaml:1:1: clock: missing key 'clock'",
                "bad.yaml:2:15: array.rows: expected a whole number, found 3.5",
                "bad.yaml:2:20: array.colz: unknown key 'colz'; did you mean 'cols'?",
            ],
        ),
        ("run lenet5 small.yaml", ["lenet5 on edge_ws: 5 layers (C1, C3, C5, ...): "]),
        ("compare lenet5 --hardware small.yaml", ["os: lenet5 on", "ws: lenet5 on", "is: lenet5"]),
        ("compare lenet5 --hardware edge_ws --dataflows os,xx", ["unknown dataflow 'xx'"]),
        ("compare lenet5 --hardware edge_ws --dataflows os,", ["unknown dataflow ''"]),
        ("compare lenet5 edge_ws tpu_v11", ["called 'tpu_v11'; did you mean 'tpu_v1'? networks: "]),
        ("compare lenet5", ["--hardware: give at least one"]),
        ("compare --hardware edge_ws tpu_v1", ["NETWORK...: name at least one network"]),
        ("show both.yaml", ["both.yaml: has `layers` like a network and `array` like hardware"]),
        ("show neither.yaml", ["neither.yaml: neither a network (it has no `layers`) nor"]),
        ("show empty.yaml", ["empty.yaml:1: the file is empty"]),
        ("show none.yaml", ["none.yaml: no such file"]),
        ("show edge_w", ["called 'edge_w'; did you mean 'edge_ws'? networks: alexnet, "]),
        ("show lenet5 --json none/x", ["--json none/x: there is no directory none"]),
        ("verify lenet5 edge_ws --json .", ["--json .: is a directory, expected a file"]),
        ("run lenet5 edge_ws --json - --csv -", ["--json and --csv: both would go to '-'"]),
        ("run lenet5 edge_ws --json a --csv a", ["--json and --csv: both would go to 'a'"]),
        ("run lenet5 edge_ws --columns cycels", ["--columns: unknown column 'cycels'; did you"]),
        ("run vgg61 edge_ws --columns x", ["--columns: unknown column 'x'", "network 'vgg61'"]),
        (
            "run lenet5 edge_ws --columns energy",
            ["--columns: energy: edge_ws names no energy table"],
        ),
        (
            "compare lenet5 --hardware edge_ws tpu_v1 --columns only,components",
            ["dram_energy: edge_ws, tpu_v1 names no energy table"],
        ),
        ("run lenet5 edge_ws --set energy=joules", ["--set energy=joules: unknown energy table"]),
        (
            "run vgg61 edge_wz --json none/x",
            ["--json none/x: ", "unknown network 'vgg61'", "unknown hardware 'edge_wz'"],
        ),
    ],
)
def test_message_and_status(cli, arguments: str, messages: list[str]) -> None:
    outcome = cli(*arguments.split())
    assert (outcome.status, outcome.stdout) == (2, "")
    assert all(line.startswith("error: ") for line in outcome.stderr.splitlines())
    for message in messages:
        assert message in outcome.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        "run lenet5",
        "run lenet5 edge_ws --batch 0",
        "run lenet5 edge_ws --batch x",
        "run lenet5 edge_ws --colour",
        "verify lenet5 edge_ws --seed -1",
        "schema sheep",
        "simulate lenet5",
    ],
)
def test_usage(cli, arguments: str) -> None:
    outcome = cli(*arguments.split())
    assert (outcome.status, outcome.stdout) == (2, "")
    assert "Usage: accelsim" in outcome.stderr


@pytest.mark.parametrize(
    "arguments", ["run lenet5 small.yaml", "run lenet5 bad.yaml", "show both.yaml"]
)
def test_nothing_is_written_or_truncated(cli, arguments: str, folder: Path) -> None:
    (folder / "kept.json").write_text("kept")
    assert cli(*arguments.split(), "--json", "kept.json").status == 2
    assert cli(*arguments.split(), "--json", "new.json").status == 2
    assert (folder / "kept.json").read_text() == "kept"
    assert not (folder / "new.json").exists()


def test_unwritable_file_is_found_before_the_work(
    cli, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    (folder / "locked").mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    monkeypatch.setattr(
        import_module("accelsim.facade"), "simulate", lambda *_, **__: pytest.fail("simulated")
    )
    outcome = cli("run", "lenet5", "edge_ws", "--csv", "locked/x.csv")
    assert outcome.status == 2
    assert outcome.stderr == "error: --csv locked/x.csv: not writable: permission denied\n"


def test_a_stuck_engine_is_called_a_bug(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(*_: object, **__: object) -> None:
        raise SimulationError("the simulation cannot go on:\nlayer C1 waits for its inputs")

    monkeypatch.setattr(import_module("accelsim.facade"), "simulate", stuck)
    outcome = cli("run", "lenet5", "edge_ws")
    assert (outcome.status, outcome.stdout) == (70, "")
    assert (
        "internal error: layer C1 waits for its inputs\nThis is a bug in accelsim" in outcome.stderr
    )


def test_any_other_failure_is_called_a_bug(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise IndexError("index 0 is out of bounds")

    monkeypatch.setattr(import_module("accelsim.facade"), "simulate", wrong)
    outcome = cli("run", "lenet5", "edge_ws")
    assert (outcome.status, outcome.stdout) == (70, "")
    assert "IndexError: index 0 is out of bounds\nThis is a bug in accelsim" in outcome.stderr


def test_ctrl_c(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("accelsim.facade"), "simulate", interrupted)
    outcome = cli("run", "lenet5", "edge_ws")
    assert (outcome.status, outcome.stdout, outcome.stderr) == (130, "", "interrupted\n")
