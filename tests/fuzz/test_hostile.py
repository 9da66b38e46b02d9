"""Hundreds of hostile inputs: a message and a status, never a traceback, a hang or a file left.

Each case runs in a process of its own, forked from one that has everything imported, with limits
of CPU, memory and time.
"""

import gc
import io
import os
import resource
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from random import Random

import hostile
import hostile_models
import hostile_schemas
import pytest
from hostile import Case

import accelsim
from accelsim.cli import app

if not hasattr(os, "fork"):
    pytest.skip("forks", allow_module_level=True)

CPU_S, WALL_S, MEMORY = 10, 100, 2**30
STATUSES = (0, 1, 2, 75)
PER_KIND = 2
"""Cases of each kind in the quick test; the slow one has all, these too."""
ALL = 40
"""ACCELSIM_FUZZ asks for another number."""
Maker = Callable[[Random], Case]


@pytest.fixture(scope="module")
def makers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Maker]:
    """What draws cases of each kind; all that a command imports is imported on the way."""
    folder = tmp_path_factory.mktemp("shipped")
    said = {
        "name": "s",
        "networks": ["lenet5"],
        "base": "edge_ws",
        "matrix": {"array.rows": [8, 16]},
    }
    accelsim.sweep(said, folder / "good.sqlite", jobs=1)
    accelsim.verify("lenet5", "edge_ws")
    (folder / "m.onnx").write_bytes(hostile_models.plain_model().SerializeToString())
    for command in (
        *(f"run lenet5 edge_ws --json {folder}/good.json", f"explain {folder}/m.onnx edge_ws c"),
        *(f"convert {folder}/m.onnx -o {folder}/o.yaml", f"train {folder}/m.onnx edge_ws -q"),
        f"compute {folder}/m.onnx --save {folder}/o.npz",
    ):
        with pytest.raises(SystemExit), redirect_stdout(io.StringIO()):
            app(command.split())
    gc.freeze()  # a fork that looked for garbage among all this would copy it
    return {
        **hostile_models.KINDS,
        **hostile_schemas.KINDS,
        "network": hostile.network_case,
        "hardware": hostile.hardware_case,
        "setting": hostile.setting_case,
        "energy": hostile.energy_case,
        "sweep": hostile.sweep_case,
        "topology": hostile.topology_case,
        "weights": hostile.weights_case,
        "run": hostile.run_case((folder / "good.json").read_bytes()),
        "results": hostile.results_case((folder / "good.sqlite").read_bytes(), folder),
        "path": hostile.path_case,
        "option": hostile_models.option_case(
            (folder / "good.json").read_bytes(), (folder / "good.sqlite").read_bytes()
        ),
    }


KINDS = (
    "network",
    "hardware",
    "setting",
    "energy",
    "sweep",
    "topology",
    "weights",
    "run",
    "results",
    "path",
    "option",
    *hostile_models.KINDS,
    *hostile_schemas.KINDS,
)


def run_limited(case: Case, folder: Path) -> tuple[int, str]:
    """Exit status and standard error of a case in a child; negative is a signal."""
    for name, content in case.files.items():
        (folder / name).write_bytes(content)
    (folder / "d.yaml").mkdir(exist_ok=True)
    with suppress(FileExistsError):
        os.mkfifo(folder / "f.yaml")
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        os._exit(_called(case, folder, write))
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), said.decode("utf-8", "replace")


def _called(case: Case, folder: Path, write: int) -> int:
    """In the child: the command with its limits; its standard error goes to `write`."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(WALL_S)  # who waits takes no CPU time
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(used.ru_utime + used.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + CPU_S, spent + CPU_S))
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))
    os.chdir(folder)
    errors = io.StringIO()
    status = 0
    try:
        with redirect_stderr(errors), redirect_stdout(io.TextIOWrapper(io.BytesIO())):
            app([*case.arguments], prog_name="accelsim")
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else 0
    except BaseException:
        status = 99
        traceback.print_exc(file=errors)
    with os.fdopen(write, "wb") as pipe:
        pipe.write(errors.getvalue().encode("utf-8", "replace")[-100_000:])
    return status


def faults(case: Case, folder: Path) -> Iterator[str]:
    """What is wrong with how a case was answered."""
    before = {*case.files, "d.yaml", "f.yaml"}
    status, said = run_limited(case, folder)
    if status not in STATUSES:
        yield f"status {status}: {(said.strip().splitlines() or [''])[-1][:200]}"
    if "Traceback" in said:
        yield f"traceback: {said.strip().splitlines()[-1][:200]}"
    if status == 2 and not said.strip():
        yield "refused without a word"
    if len(said) > 20_000:
        yield f"a message of {len(said):,} characters"
    if any(not letter.isprintable() and letter != "\n" for letter in said):
        yield f"unseen characters in {said[:100]!r}"
    left = {path.name for path in folder.iterdir()} - before
    if status not in (0, 1) and left:
        yield f"left {sorted(left)}"


def answered(make: Maker, kind: str, count: int, folder: Path) -> list[str]:
    """The faults of so many cases, the first of each sort."""
    found: Counter[str] = Counter()
    first: dict[str, str] = {}
    for number in range(count):
        case = make(Random(f"{kind} {number}"))
        place = folder / str(number)
        place.mkdir()
        for fault in faults(case, place):
            sort = "".join(letter for letter in fault if not letter.isdigit())
            found[sort] += 1
            first.setdefault(sort, f"case {number} {case.arguments}: {fault}")
    return [f"{found[sort]} times, {told}" for sort, told in first.items()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_few(kind: str, makers: dict[str, Maker], tmp_path: Path) -> None:
    assert answered(makers[kind], kind, PER_KIND, tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_hundreds(kind: str, makers: dict[str, Maker], tmp_path: Path) -> None:
    count = int(os.environ.get("ACCELSIM_FUZZ", ALL))
    assert answered(makers[kind], kind, count, tmp_path) == []
