"""Where results go: files that the user asked for, and standard output."""

import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from os.path import basename
from typing import TYPE_CHECKING

from accelsim.errors import InputError, Problem

if TYPE_CHECKING:
    from accelsim.report.export import Destinations
    from accelsim.report.sheet import Sheet
    from accelsim.results import RunResult
    from accelsim.validation.outcome import Validation


def deliver(
    destinations: "Destinations",
    sheets: "Sequence[Sheet]",
    json: Callable[[], str],
    csv: Callable[[], str] | None = None,
) -> None:
    """Write the files that the user asked for; sheets go to standard output if it is free."""
    from accelsim.files import write_file
    from accelsim.report.export import STANDARD_OUTPUT

    for path, text in ((destinations.json, json), (destinations.csv, csv)):
        if path == STANDARD_OUTPUT and text:
            emit(text())
        elif path is not None and text:
            write_file(path, text())
    if not destinations.on_standard_output:
        print_sheets(sheets)


def print_sheets(sheets: "Sequence[Sheet]") -> None:
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
        raise InputError(Problem(message, "standard output")) from None


def deliver_page(path: str | None, runs: "Iterable[RunResult]") -> None:
    """Write a page of the runs, where the user asked for one."""
    if path is None:
        return
    from accelsim.files import write_file
    from accelsim.report.page.recorded import recorded
    from accelsim.report.page.whole import page

    write_file(path, page([recorded(run.as_dict(), "a run") for run in runs]))


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
