"""Which key a setting on the command line was meant for, where the key that it has is none."""

from collections.abc import Iterable
from difflib import get_close_matches

from accelsim.frontend.findings import Finding
from accelsim.frontend.source import KeyPath, dotted
from accelsim.text import shown

_LONGEST = 100
"""Characters of a key that are compared."""


def with_hint(finding: Finding, path: KeyPath, keys: Iterable[str]) -> str:
    """What is wrong with a setting of the key `path`, and which of the hardware's `keys` is near.

    `array.rows` for `rows`; `fused` for `array.fused`; `buffers.ifmap_sram.size` where there is
    no buffer `ifmap`.
    """
    known = [*keys]
    if "did you mean" in finding.message:
        return finding.message
    if dotted(path) in known or not (finding.at_key or _is_new_buffer(finding, path, known)):
        return finding.message
    within = finding.at_key and len(finding.path) > len(path)  # of a mapping that is set whole
    key = dotted(finding.path if within else path)
    meant = _meant(key, known)
    if not meant:
        return finding.message
    unknown = f"unknown key {shown(key)}"
    problem = unknown if finding.at_key else f"there is no buffer {path[1]!r}"
    one_of = "" if len(meant) == 1 else "one of "
    return f"{problem}; did you mean {one_of}{', '.join(map(repr, meant))}?"


def _is_new_buffer(finding: Finding, path: KeyPath, known: Iterable[str]) -> bool:
    """Whether a setting makes a buffer, and that is not whole."""
    made = path[0] == "buffers" and len(path) > 1 and finding.path[:2] == path[:2]
    return made and not any(key.startswith(f"buffers.{path[1]}.") for key in known)


def _meant(key: str, known: list[str]) -> list[str]:
    """The keys that end like this one, else what this one ends with, else those spelt like it."""
    ending = [each for each in known if each.endswith(f".{key}")]
    inner = [each for each in known if key.endswith(f".{each}")]
    return ending or inner or get_close_matches(key[:_LONGEST], known, 2)
