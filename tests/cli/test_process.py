"""`python -m accelsim` as a process of its own: pipes, terminals, imports, the sample."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from accelsim.__main__ import main

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "accelsim"]
STOPS = [getattr(signal, name, 0) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
RUN = ("run", str(ROOT / "tests" / "sweep" / "two_layers.yaml"), "edge_ws")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call accelsim; stdout and stderr are pipes."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **environment}
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, encoding="utf-8", env=variables
    )


def test_sample_is_what_the_command_prints(cli) -> None:
    sample = ROOT / "reports" / "sample_compare_lenet5.txt"
    printed = cli("compare", "lenet5", "--hardware", "edge_ws")
    assert printed.stdout == sample.read_text(encoding="utf-8")
    assert printed.stderr == ""


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from accelsim.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'simpy', 'pydantic', 'yaml'} & sys.modules.keys()\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert (
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, env=environment
        ).returncode
        == 0
    )


def test_a_pipe_gets_every_column_without_colours() -> None:
    narrow = run(*RUN, COLUMNS="40")
    assert "mapping %" in narrow.stdout
    assert "Left out" not in narrow.stdout
    assert "\x1b" not in narrow.stdout
    assert not any(line.endswith(" ") for line in narrow.stdout.splitlines())


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_a_reader_that_goes_away_leaves_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with os.fdopen(writer) as stdout:
        ended = subprocess.run(
            [*COMMAND, "show", "DDR4-2400"],
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=environment,
        )
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pseudo-terminals")
@pytest.mark.parametrize(
    ("width", "columns"), [(70, False), pytest.param(200, True, marks=pytest.mark.slow)]
)
def test_a_terminal_gets_the_columns_that_fit(width: int, columns: bool) -> None:
    import pty
    import termios

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, width))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    environment |= {"PYTHONPATH": str(ROOT), "TERM": "xterm", "NO_COLOR": "1"}
    process = subprocess.Popen(
        [*COMMAND, "show", "vgg16"], stdout=theirs, stderr=theirs, stdin=theirs, env=environment
    )
    os.close(theirs)
    printed = b"".join(iter(lambda: _read(ours), b"")).decode()
    assert process.wait() == 0
    assert ("Left out for want of width" in printed) != columns
    assert "fc6" in printed


def _read(terminal: int) -> bytes:
    """What the terminal shows next, nothing when the other side has closed it."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


@pytest.mark.skipif(sys.platform == "win32", reason="shell redirection")
def test_a_closed_stdout_is_no_reason_for_a_traceback() -> None:
    line = f"{sys.executable} -m accelsim show DDR4-2400 >&-"
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=variables)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def stops() -> Iterator[None]:
    """What stops a process does so here too, whatever the tests' own parent has ignored."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in STOPS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.usefixtures("stops")
@pytest.mark.parametrize("number", STOPS)
@pytest.mark.parametrize(
    "where", ["accelsim.cli.main", "typer.core.TyperGroup.make_context", "os.fsync"]
)
def test_what_stops_a_command_is_told_and_leaves_nothing(
    number: int,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """While it starts, while it reads its arguments, and while it writes."""
    monkeypatch.setattr(where, lambda *_, **__: signal.raise_signal(number))
    monkeypatch.setattr("sys.argv", ["accelsim", *RUN, "--json", str(tmp_path / "r.json"), "-q"])
    with pytest.raises(SystemExit) as left:
        main()
    assert (left.value.code, capsys.readouterr().err) == (130, "interrupted\n")
    assert not [*tmp_path.iterdir()]
