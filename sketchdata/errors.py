"""The errors that a user may meet: each says what was expected, what was found, where, and what to do next."""

from __future__ import annotations


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
    """A file that could not be had, after every bounded try."""


class TasksFailedError(SketchDataError):
    """Some tasks failed for good; what the others made is kept, and the same command goes on from there."""


class InterruptedRunError(SketchDataError):
    """The user stopped the run; finished tasks are kept. The command line exits 130."""
