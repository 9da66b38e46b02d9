"""What searches remember, against a list of what was asked for last."""

from dataclasses import dataclass, field

from drawing import drawn
from hypothesis import given
from hypothesis import strategies as st

from accelsim.lowering.recall import Memory

KINDS = ("rankings", "flows")
ASKED = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 6), st.sampled_from([None, None, 2, 4])),
    max_size=40,
)


@dataclass
class Shelf:
    """Things of a kind, the last one asked for at the end; found anew if it is not there."""

    things: list[tuple[int, int]] = field(default_factory=list)

    def ask(self, key: int, new: int, most: int) -> int:
        """The number under which `key` was found: `new`, if it is now."""
        held = [number for name, number in self.things if name == key]
        number = held[0] if held else new
        self.things = [each for each in self.things if each[0] != key] + [(key, number)]
        if len(self.things) > most:
            self.things.pop(0)
        return number


@given(ASKED, st.integers(1, 5))
@drawn(300)
def test_the_last_of_each_kind_are_remembered(
    asked: list[tuple[str, int, int | None]], most: int
) -> None:
    """Kinds do not push each other out; what takes little room is remembered `most` as asked."""
    memory, shelves = Memory(most=most), {kind: Shelf() for kind in KINDS}
    for number, (kind, key, few) in enumerate(asked):
        found = memory.recall(kind, key, lambda own=number: own, few)
        assert found == shelves[kind].ask(key, number, few or most)


def test_what_is_found_may_be_nothing() -> None:
    """None, and what is like nothing, is remembered as all else."""
    memory, found = Memory(), []
    for nothing in (None, 0, ()):
        for _ in range(2):
            result = memory.recall("any", nothing, lambda own=nothing: found.append(own) or own)
            assert result == nothing
    assert found == [None, 0, ()]


def test_each_owner_has_a_memory_of_its_own() -> None:
    one, other = Memory(), Memory()
    assert one.recall("any", 1, lambda: "one") == "one"
    assert other.recall("any", 1, lambda: "other") == "other"
    assert one.patience is one.replays.patience
    assert one.patience is not other.patience
