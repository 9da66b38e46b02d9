"""Which sources compute: versions name releases, a hash names what is really there."""

from hashlib import sha256
from pathlib import Path

import accelsim


def _digest_of_sources() -> str:
    """A hash of every Python file of the package, by name and content."""
    package = Path(accelsim.__file__).parent
    whole = sha256()
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        whole.update(f"{path.relative_to(package).as_posix()} {len(content)}\n".encode() + content)
    return whole.hexdigest()[:12]


CODE = _digest_of_sources()
"""Of the sources as they were when this process began to use them."""
