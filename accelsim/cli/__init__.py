"""The command line: it reads what the user wants, calls the facade and prints the reports.

Exit status: 0 fine; 1 a check failed; 2 the input is wrong; 70 accelsim itself is wrong (a bug);
75 what it ran on has gone (a cluster's scheduler), the same command goes on;
130 stopped by Ctrl-C; 141 the reader of the output has gone.

Everything heavy is imported inside the commands, so that `accelsim --help` is quick.
"""

import os
import sys

from accelsim.cli import comparing, computing, converting, runs, shows, sweeps, training, validating
from accelsim.cli.application import app
from accelsim.cli.output import with_quiet

__all__ = ["app", "main"]

app.command()(with_quiet(runs.run))
app.command()(with_quiet(training.train))
app.command()(with_quiet(comparing.compare))
app.command()(with_quiet(runs.verify))
app.command()(with_quiet(computing.compute))
app.command()(with_quiet(validating.validate))
app.command()(sweeps.sweep)
app.command()(with_quiet(sweeps.results))
app.command()(with_quiet(sweeps.diff))
app.command()(with_quiet(shows.show))
app.command()(with_quiet(shows.explain))
app.command()(with_quiet(shows.report))
app.command()(with_quiet(shows.plot))
app.command()(with_quiet(converting.convert))
app.command("list")(shows.list_builtin)
app.command()(shows.schema)


def main() -> None:
    """The entry point `accelsim`."""
    if sys.stdout is None:  # closed by the caller: nobody reads what is printed
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    app(prog_name="accelsim")
