"""Which key a setting on the command line was meant for, where the key that it has is none."""

from collections.abc import Iterable
from difflib import get_close_matches

from accelsim.frontend.findings import Finding
from accelsim.frontend.source import KeyPath, dotted

_LONGEST = 100
"""Characters of a key that are compared."""


def with_hint(finding: Finding, path: KeyPath, keys: Iterable[str]) -> str:
    """What is wrong with a setting of the key `path`, and which of the hardware's `keys` is near.

    `array.rows` for `rows`; `buffers.ifmap_sram.size` where there is no buffer `ifmap`.
    """
    known = [*keys]
    if "did you mean" in finding.message:
        return finding.message
    if dotted(path) in known or not (finding.at_key or _is_new_buffer(finding, path, known)):
        return finding.message
    meant = _meant(dotted(path), known)
    if not meant:
        return finding.message
    problem = finding.message.partition(";")[0]
    if not finding.at_key:
        problem = f"there is no buffer {path[1]!r}"
    one_of = "" if len(meant) == 1 else "one of "
    return f"{problem}; did you mean {one_of}{', '.join(map(repr, meant))}?"


def _is_new_buffer(finding: Finding, path: KeyPath, known: Iterable[str]) -> bool:
    """Whether a setting makes a buffer, and that is not whole."""
    made = path[0] == "buffers" and len(path) > 1 and finding.path[:2] == path[:2]
    return made and not any(key.startswith(f"buffers.{path[1]}.") for key in known)


def _meant(key: str, known: list[str]) -> list[str]:
    """The keys that end like this one, else those that are spelt like it."""
    ending = [each for each in known if each.endswith(f".{key}")]
    return ending or get_close_matches(key[:_LONGEST], known, 2)
