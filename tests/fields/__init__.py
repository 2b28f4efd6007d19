"""The fields, each with a few small items and one architecture: what `test_fields.py` puts every verb to.

One file a field; each defines `FIELDS`, a list of `Field`.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["Field", "all_fields"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Field:
    """A field for the matrix of verbs.

    Args:
        name: short name of the case.
        architecture: a name of the zoo, the smallest there is.
        data: folder -> data for `Learner`, 40 to 100 small items; made there at each call, always the same.
        items: folder -> at least three raw items for `predict`.
        task: name of the task that the learner must have.
        column: column of the results in which one prediction stands.
        packages: optional packages without which the case is skipped.
        settings: further settings of the learner.
    """

    name: str
    architecture: str
    data: Callable[[Path], Any]
    items: Callable[[Path], Any]
    task: str
    column: str
    packages: tuple[str, ...] = ()
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


def all_fields() -> list[Field]:
    """The cases of every file of this folder."""
    modules = [importlib.import_module(f"fields.{m.name}") for m in pkgutil.iter_modules(__path__)]
    return [field for module in modules for field in module.FIELDS]
