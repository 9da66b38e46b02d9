"""The catalogue of references."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from references_by_hand import comparison, reference

import accelsim
from accelsim.errors import InputError
from accelsim.validation import catalog
from accelsim.validation.catalog import MODULES, references, validate
from accelsim.validation.data import FOLDER, table
from accelsim.validation.reference import Reference

ALL = references()
NAMES = [each.name for each in ALL]
LONG = ("dram", "tpu", "gemmini_layers", "tpu_v3", "eyeriss_vgg16", "nvdla")
"""They replay 400,000 bursts, play 40 chains and 160 layers: `validate` does in test_readme.py."""


def install(monkeypatch: pytest.MonkeyPatch, **modules: Sequence[Reference] | Reference) -> None:
    """Make a catalogue of these modules."""
    for name, content in modules.items():
        attribute = "REFERENCE" if isinstance(content, Reference) else "REFERENCES"
        module = SimpleNamespace(**{attribute: content})
        monkeypatch.setitem(sys.modules, f"accelsim.validation.{name}", module)  # type: ignore[arg-type]
    monkeypatch.setattr(catalog, "MODULES", tuple(modules))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LONG])
def test_every_reference_is_within_its_bands(name: str) -> None:
    outcome = validate(only=[name]).outcome(name)
    assert not outcome.failure
    assert outcome.tally.outside == ()
    assert outcome.passed


def test_every_module_is_in_the_catalogue() -> None:
    """A module that holds a reference and is not listed would never be checked."""
    modules = {
        path.stem
        for path in FOLDER.parent.glob("*.py")
        if "\nREFERENCE" in path.read_text(encoding="utf-8")
    }
    assert modules == set(MODULES)


def test_names_and_texts() -> None:
    assert len(set(NAMES)) == len(NAMES)
    for each in ALL:
        assert each.name.replace("_", "").isalnum()
        assert each.name.islower()
        for text in (each.title, each.source, each.assumption):
            assert len(text) > 20, each.name


def test_only_some_in_the_order_of_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two, three = (reference(name, comparison(100.0)) for name in ("one", "two", "three"))
    install(monkeypatch, first=(one, two), second=three)
    assert references() == (one, two, three)
    assert references(["three", "one", "one"]) == (one, three)
    assert [each.reference.name for each in validate(only="two").outcomes] == ["two"]


def test_unknown_names_are_all_told(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, first=reference("gemmini"), second=reference("tpu"))
    with pytest.raises(InputError) as caught:
        validate(only=["gemini", "tpu", "zzz"])
    gemini, zzz = map(str, caught.value.problems)
    assert gemini == (
        "--only: unknown reference 'gemini'; did you mean 'gemmini'? there are gemmini, tpu"
    )
    assert zzz == "--only: unknown reference 'zzz'; there are gemmini, tpu"


def test_progress_is_told_after_each(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, first=reference("one", comparison(100.0)), second=reference("two"))
    seen: list[tuple[str, bool]] = []
    validate(progress=lambda outcome: seen.append((outcome.reference.name, outcome.passed)))
    assert seen == [("one", True), ("two", False)]


def test_a_module_that_cannot_load_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "MODULES", ("no_such_module", "good"))
    good = SimpleNamespace(REFERENCE=reference("good", comparison(100.0)))
    monkeypatch.setitem(sys.modules, "accelsim.validation.good", good)  # type: ignore[arg-type]
    result = validate()
    broken, fine = result.outcomes
    assert broken.reference.name == "no_such_module"
    assert broken.failure.startswith("ModuleNotFoundError: ")
    assert fine.passed
    assert not result.passed


def test_from_python(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, first=reference("one", comparison(100.0)))
    assert accelsim.validate is validate
    result = accelsim.validate(only="one")
    assert isinstance(result, accelsim.Validation)
    assert result.passed


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_published_data_cite_their_source(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("#")


def test_a_table_leaves_the_source_out() -> None:
    rows = table("tpu_v1_table3")
    assert rows[0]["metric"] == "array_active_pct"
    assert all(None not in row for row in rows)
