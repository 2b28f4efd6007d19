"""Every error that a user can meet: one tree, one wording.

The wording of a message: the rule. What came. What to do. One line.

    FastGPUError
    ├── ArgumentError          a wrong argument (also a ValueError)
    │   └── UnknownNameError   a name that is not registered; names the nearest ones
    ├── UnknownKeywordError    a keyword that the call does not take (also a TypeError)
    ├── DataError              data that cannot be read or used
    │   └── BadItemError       one item of the data, by name
    ├── CheckpointError        a saved learner that cannot be loaded
    ├── RunFolderError         a folder or file that cannot be written (also an OSError)
    ├── DeviceError            a device that is not there
    ├── ExportError            a network that cannot be exported, or an exported file that does not agree with it
    ├── NetworkError           something that needs the network and did not get it
    ├── MissingPackageError    an optional package that is not installed (also an ImportError)
    ├── ModelError             a network that does not take the data
    └── NonFiniteLossError     training met a loss that is NaN or infinite
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ArgumentError",
    "BadItemError",
    "CheckpointError",
    "DataError",
    "DeviceError",
    "ExportError",
    "FastGPUError",
    "MissingColumnError",
    "MissingPackageError",
    "ModelError",
    "NetworkError",
    "NonFiniteLossError",
    "RunFolderError",
    "UnknownKeywordError",
    "UnknownNameError",
    "nearest",
]


class FastGPUError(Exception):
    """Base of every error that FastGPU raises for something the user can mend."""

    def __str__(self) -> str:
        # One line, whatever a library's message brought along.
        return " ".join(super().__str__().split())


class ArgumentError(FastGPUError, ValueError):
    """An argument's value is not one that the call takes."""


class MissingColumnError(ArgumentError, AttributeError):
    """Results were asked for a column that their task does not give."""


class UnknownNameError(ArgumentError):
    """A name is not registered; the message carries the nearest names.

    Args:
        kind: what the name should have named, for example `"architecture"`.
        name: the name that came.
        known: the names that there are.
        hint: what to do when no near name helps.
    """

    def __init__(self, kind: str, name: object, known: Iterable[str], hint: str = "") -> None:
        names = sorted(known)
        self.kind, self.name, self.nearest = kind, name, nearest(name, names)
        if self.nearest:
            advice = f"Did you mean {' or '.join(repr(n) for n in self.nearest)}?"
        elif len(names) <= 12:
            advice = f"Known: {', '.join(names) or 'none'}."
        else:
            advice = ""
        super().__init__(" ".join(part for part in (f"Unknown {kind} {name!r}.", advice, hint) if part))


class UnknownKeywordError(FastGPUError, TypeError):
    """A call got a keyword that it does not take; the message carries the nearest ones."""


class DataError(FastGPUError):
    """Data cannot be read, or cannot be used for training."""


class BadItemError(DataError):
    """Items of the data cannot be read; the message names them.

    Attributes:
        indices: numbers of the bad items in their split, from 0.
    """

    def __init__(self, message: str, indices: Iterable[int] = ()) -> None:
        super().__init__(message)
        self.indices = list(indices)


class CheckpointError(FastGPUError):
    """A saved learner cannot be loaded: truncated, changed, or of another kind."""


class RunFolderError(FastGPUError, OSError):
    """A folder or file of the run cannot be written."""


class DeviceError(FastGPUError):
    """A device was asked for that this machine does not have."""


class ExportError(FastGPUError):
    """A network cannot be exported, or the file that was written does not agree with it."""


class NetworkError(FastGPUError):
    """Something was asked for that must be fetched, and the network did not answer."""


class MissingPackageError(FastGPUError, ImportError):
    """An optional package is not installed; the message carries the pip line."""


class ModelError(FastGPUError):
    """The network cannot be built for the data, or does not take it."""


class NonFiniteLossError(FastGPUError):
    """The loss became NaN or infinite; the message says at which step and batch."""


def nearest(name: object, known: Iterable[str], most: int = 3) -> list[str]:
    """The registered names most like `name`, best first.

    Example:
        >>> nearest("resnet81", ["resnet18", "resnet50", "vit_tiny"])[0]
        'resnet18'
    """
    by_lower = {k.lower(): k for k in known}
    return [by_lower[m] for m in difflib.get_close_matches(str(name).lower(), by_lower, n=most, cutoff=0.6)]
