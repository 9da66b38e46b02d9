"""Print a table of lines per module, largest first."""

from pathlib import Path

counts = sorted(
    ((len(path.read_text().splitlines()), path) for path in Path("accelsim").rglob("*.py")),
    reverse=True,
)
for count, path in counts:
    print(f"{count:6}  {path}")
print(f"{sum(count for count, _ in counts):6}  in all")
