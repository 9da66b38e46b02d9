"""What the pages of docs/ show."""

import re


def blocks_of(page: str) -> list[str]:
    """What is indented, as it stands without that."""
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", page, re.MULTILINE)
    return ["\n".join(line[4:] for line in block.splitlines()) for block in found]
