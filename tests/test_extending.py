"""docs/extending.md: each diff is applied to a copy of the sources, and its commands run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import blocks_of

ROOT = Path(__file__).parents[1]
SECTIONS = {
    text.partition("\n")[0]: text
    for text in (ROOT / "docs" / "extending.md").read_text().split("\n## ")[1:]
}
GIT = shutil.which("git")


def called(folder: Path, *command: str) -> str:
    """Its output; fails the test where the command does."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for name in ("accelsim", "configs", "workloads"):
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    return tmp_path


@pytest.mark.slow
@pytest.mark.skipif(GIT is None, reason="git applies the diffs")
@pytest.mark.parametrize("section", SECTIONS)
def test_a_diff_works_as_it_stands(section: str, copied: Path) -> None:
    text = SECTIONS[section]
    (diff,) = re.findall(r"```diff\n(.*?)```", text, re.DOTALL)
    (copied / "it.diff").write_text(diff)
    called(copied, GIT or "git", "apply", "it.diff")
    blocks = blocks_of(re.sub(r"```diff\n.*?```", "", text, flags=re.DOTALL))
    for block in blocks:
        if found := re.match(r"\s*name: (\w+)", block):
            (copied / f"{found[1]}.yaml").write_text(block)
    commands = [line for block in blocks for line in block.splitlines() if "accelsim " in line]
    assert commands
    outputs = [called(copied, sys.executable, "-m", *shlex.split(line)) for line in commands]
    if section == "A processor":
        cycles = re.search(r"fill and drain of the array +([\d,]+)", outputs[0])
        assert cycles
        assert int(cycles[1]) == 8 + 3 + 3


def test_the_diffs_are_of_the_four_kinds() -> None:
    assert [*SECTIONS] == ["A layer", "A dataflow", "A memory", "A processor"]
