"""Records as a pandas DataFrame, for those who have pandas."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from accelsim.errors import InputError, Problem

if TYPE_CHECKING:
    import pandas


def frame(records: Iterable[Mapping[str, object]]) -> "pandas.DataFrame":
    """A row for each record, a column for each key; raises InputError without pandas."""
    try:
        import pandas
    except ModuleNotFoundError:
        message = "needs pandas; install it with pip install 'accelsim[frames]'"
        raise InputError(Problem(message=message, key="to_frame")) from None
    return pandas.DataFrame.from_records(list(records))
