"""The errors that a user may meet: each says what was expected, what was found, where, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class SketchDataError(Exception):
    """A fault in the user's input or surroundings. The command line prints its message alone and exits 1."""


class ConfigError(SketchDataError):
    """An option, or a combination of options, that cannot work."""


class FormatError(SketchDataError):
    """Bytes that are not in the format they claim to be in.

    Args:
        reason: What is wrong, in a few words fit for a table of counts.
        detail: What was found, for the one record at hand.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class FetchError(SketchDataError):
    """A file that could not be downloaded, after every bounded try."""


class TasksFailedError(SketchDataError):
    """Some tasks failed for good; what the others made is kept, and the same command resumes from there."""


class InterruptedRunError(SketchDataError):
    """The user stopped the run; finished tasks are kept. The command line exits 130."""


@contextmanager
def needs_extra(work: str, extra: str) -> Iterator[None]:
    """Say what to install when an import in this context fails.

    Args:
        work: What needs the missing package, such as "training".
        extra: The extra of sketchdata that has it.

    Raises:
        ConfigError: A module is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{work} needs {error.name}, which is not installed: pip install 'sketchdata[{extra}]'"
        ) from error
