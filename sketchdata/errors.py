"""The exceptions of the package. A message says what was expected, what was found, where, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class SketchDataError(Exception):
    """An error in the user's input or environment. The command line prints only its message and exits 1."""


class ConfigError(SketchDataError):
    """An option, or a combination of options, is invalid."""


class FormatError(SketchDataError):
    """Data is not valid in its format.

    Args:
        reason: What is wrong, in a few words, so that equal reasons can be counted.
        detail: What was found in this record.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class FetchError(SketchDataError):
    """A file could not be downloaded, after all retries."""


class TasksFailedError(SketchDataError):
    """Some tasks failed after all retries; the outputs of the others are kept, and the same command resumes."""


class InterruptedRunError(SketchDataError):
    """The user stopped the run; finished tasks are kept. The command line exits 130."""


@contextmanager
def needs_extra(work: str, extra: str) -> Iterator[None]:
    """Turn a failed import in this context into a `ConfigError` that says what to install.

    Args:
        work: What needs the package, such as "training".
        extra: The extra of sketchdata that installs it.

    Raises:
        ConfigError: A module is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{work} needs {error.name}, which is not installed: pip install 'sketchdata[{extra}]'"
        ) from error
