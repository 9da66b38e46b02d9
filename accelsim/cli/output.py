"""Where results go: files that the user asked for, and standard output."""

import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from functools import wraps
from inspect import Parameter, signature
from os.path import basename
from typing import TYPE_CHECKING, Any

from accelsim.cli.options import QuietOption
from accelsim.errors import InputError, Problem

if TYPE_CHECKING:
    from accelsim.report.export import Destinations
    from accelsim.report.sheet import Sheet
    from accelsim.results import RunResult
    from accelsim.sweep.summary import Summary
    from accelsim.validation.outcome import Validation


def deliver(
    destinations: "Destinations",
    sheets: "Sequence[Sheet]",
    json: Callable[[], str],
    csv: Callable[[], str] | None = None,
    shown: bool = False,
) -> None:
    """Write the files that the user asked for, or print the sheets where there are none.

    What is to be `shown` is printed beside files, too, if standard output is free.
    """
    from accelsim.files import write_file
    from accelsim.report.export import STANDARD_OUTPUT

    for path, text in ((destinations.json, json), (destinations.csv, csv)):
        if path == STANDARD_OUTPUT and text:
            emit(text())
        elif path is not None and text:
            write_file(path, text())
    written = destinations.json is not None or destinations.csv is not None
    if not written or (shown and not destinations.on_standard_output):
        print_sheets(sheets)


_QUIET = ContextVar("quiet", default=False)


def is_quiet() -> bool:
    """Whether the command that runs was told to be."""
    return _QUIET.get()


def with_quiet(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the option `--quiet`."""

    @wraps(command)
    def run(*, quiet: bool, **given: Any) -> None:
        token = _QUIET.set(quiet)
        try:
            command(**given)
        finally:
            _QUIET.reset(token)

    said = signature(command)
    option = Parameter("quiet", Parameter.KEYWORD_ONLY, default=False, annotation=QuietOption)
    run.__signature__ = said.replace(parameters=[*said.parameters.values(), option])  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, "quiet": QuietOption}
    return run


def hint(text: str) -> None:
    """What is worth knowing, on standard error; nothing where the user wants quiet."""
    from accelsim.report.tell import tell

    if not is_quiet():
        tell(f"hint: {text}")


def print_sheets(sheets: "Sequence[Sheet]") -> None:
    """Print tables, unless the user wants quiet."""
    if is_quiet():
        return
    from accelsim.report.sheet import rendered

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    emit(rendered(sheets, width, sys.stdout.encoding))


def emit(text: str) -> None:
    """Write to standard output at once, so that a reader that has gone is noticed here."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        message = f"cannot be written: {error.strerror}"
        raise InputError(Problem(message=message, source="standard output")) from None


def deliver_page(path: str | None, runs: "Iterable[RunResult]") -> None:
    """Write a page of the runs, where the user asked for one."""
    if path is None:
        return
    from accelsim.files import write_file
    from accelsim.report.page.recorded import recorded
    from accelsim.report.page.whole import page

    told = [*runs]
    drawn = [run.tiles for run in told]
    write_file(path, page([recorded(run.as_dict(), "a run") for run in told], drawn))


def deliver_sweep_page(path: str | None, summary: "Summary") -> None:
    """Write a page of a sweep, where the user asked for one."""
    if path is None:
        return
    from accelsim.files import write_file
    from accelsim.report.page.explored import sweep_page

    write_file(path, sweep_page(summary))


def deliver_accuracy(path: str | None, picture: str | None, result: "Validation") -> None:
    """Write the page of a validation and its plot, where the user asked for them."""
    if path is None or picture is None:
        return
    from accelsim.files import write_file
    from accelsim.validation.accuracy import accuracy_text, scatter

    write_file(picture, scatter(result))
    write_file(path, accuracy_text(result, basename(picture)))


def deliver_mapping(path: str | None, run: "RunResult") -> None:
    """Write the mapping of a run, where the user asked for it."""
    if path is None:
        return
    from accelsim.files import write_file
    from accelsim.report.mapping import mapping_text

    write_file(path, mapping_text(run))
