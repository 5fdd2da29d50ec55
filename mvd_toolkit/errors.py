"""The exceptions of mvd_toolkit.

    MVDError
    ├── BugError            exit 1   an item of a batch met an error that nobody foresaw
    ├── UsageError          exit 2   an option or argument makes no sense, or cannot be written to
    ├── InputError          exit 3   a file or array is unreadable, malformed or over a limit
    ├── BatchError          exit 4   some items of a batch failed
    ├── UnavailableError    exit 5   a device, extra, model or plugin is not there
    ├── OutputExistsError   exit 6   the output exists and may not be replaced
    └── ThresholdError      exit 7   a score is below what was asked for

Each says what is wrong, where, what was expected and what was found. `exit_code` is what the
command line returns for it.
"""

from __future__ import annotations


class MVDError(Exception):
    """Anything mvd_toolkit reports on purpose; every other exception is a bug."""

    exit_code = 1


class BugError(MVDError):
    """An item of a batch met an error that nobody foresaw; ``__cause__`` is that error."""


class UsageError(MVDError, ValueError):
    """An option or argument makes no sense."""

    exit_code = 2


class InputError(MVDError, ValueError):
    """A file or array is unreadable, malformed or over a limit."""

    exit_code = 3


class BatchError(MVDError):
    """Some items of a batch failed; the others are done."""

    exit_code = 4


class UnavailableError(MVDError):
    """A device, extra, model or plugin that was asked for is not there."""

    exit_code = 5


class OutputExistsError(MVDError):
    """The output exists and may not be replaced."""

    exit_code = 6


class ThresholdError(MVDError):
    """A score is below the one asked for."""

    exit_code = 7


class FormatWarning(UserWarning):
    """Something in a file was left out, or could not be written; `mvd` says it as a note."""
