"""What a command writes, on a disk that is full after so many bytes: all of it, or none."""

import io
import os
from contextlib import redirect_stderr, redirect_stdout
from itertools import product
from pathlib import Path

import pytest

from accelsim.cli import app

resource = pytest.importorskip("resource", reason="limits of POSIX")
RUN = ("run", "mlp", "edge_ws")
COMPARE = ("compare", "mlp", "--hardware", "edge_ws", "--dataflows", "ws,os")
COMMANDS = {
    "a mapping, then JSON": (RUN, ("--save-mapping", "--json")),
    "a trace, then a page": (RUN, ("--trace-dram", "--report")),
    "all of a run": (RUN, ("--csv", "--save-mapping", "--json", "--report", "--trace")),
    "CSV after JSON": (COMPARE, ("--csv", "--json")),
    "a page before": (COMPARE, ("--json", "--report")),
}


def limited(arguments: list[str], most: int) -> tuple[int, str]:
    """Exit status and standard error of a command in a child whose files have `most` bytes."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        status, errors = 0, io.StringIO()
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            with redirect_stderr(errors), redirect_stdout(io.StringIO()):
                app(arguments, prog_name="accelsim")
        except SystemExit as left:
            status = left.code if isinstance(left.code, int) else 0
        os.write(write, errors.getvalue().encode())
        os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


PLAIN = (("a mapping, then JSON", None), ("CSV after JSON", "as it was"))
CASES = [
    pytest.param(*case, marks=() if case in PLAIN else pytest.mark.slow)
    for case in product(COMMANDS, (None, "as it was"))
]


@pytest.mark.parametrize(("name", "old"), CASES)
def test_all_of_it_or_none(name: str, old: str | None, cli, tmp_path: Path) -> None:
    command, options = COMMANDS[name]
    paths = {option: tmp_path / f"{option[2:]}.csv" for option in options}
    arguments = [*command, *(str(part) for pair in paths.items() for part in pair)]
    assert cli(*arguments).status == 0
    sizes = {option: path.stat().st_size for option, path in paths.items()}
    for largest in sorted(sizes.values()):
        for path in paths.values():
            path.unlink(missing_ok=True)
            if old:
                path.write_text(old)
        status, said = limited(arguments, largest - 1)
        assert status == 2
        assert "cannot be written: File too large" in said
        left = {path.name: path.read_text() for path in tmp_path.iterdir()}
        assert left == ({path.name: old for path in paths.values()} if old else {})
    assert limited(arguments, max(sizes.values())) == (0, "")
    assert {option: path.stat().st_size for option, path in paths.items()} == sizes


def test_a_check_that_fails_leaves_its_files(cli, tmp_path: Path) -> None:
    before, after = tmp_path / "a.json", tmp_path / "b.json"
    cli(*RUN, "--json", before)
    cli(*RUN, "--set", "array.rows=8", "--json", after)
    found = tmp_path / "d.csv"
    limit = ("--fail-above", "cycles=0%", "--csv", found)
    assert cli("diff", before, after, *limit).status == 1
    assert found.stat().st_size


def test_a_pipe_in_an_outputs_place_is_refused_and_not_read(cli, tmp_path: Path) -> None:
    """Nobody writes to it: who reads it to see what it is waits for ever."""
    os.mkfifo(tmp_path / "pipe.npz")
    outcome = cli(*RUN, "--json", tmp_path / "pipe.npz")
    assert (outcome.status, "is there already" in outcome.stderr) == (2, True)
