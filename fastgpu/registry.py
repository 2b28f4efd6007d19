"""Registry: names to objects, filled by a decorator where each thing is defined."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar, cast

from fastgpu.errors import UnknownNameError

__all__ = ["Registry"]

T = TypeVar("T")
E = TypeVar("E")


class Registry(Mapping[str, T], Generic[T]):
    """A mapping that is filled by decorators and answers a miss with the nearest names.

    The package that holds the definitions is walked on the first look-up, so a new file registers by
    being there: no list is kept anywhere.

    Args:
        kind: what the names stand for, in the words of an error message: `"task"`.
        package: dotted name of the package whose modules register themselves, or None.

    Example:
        >>> shapes = Registry("shape")
        >>> @shapes.register("square")
        ... def square(side): return side * side
        >>> shapes["square"](3)
        9
        >>> shapes["sqare"]
        Traceback (most recent call last):
        fastgpu.errors.UnknownNameError: Unknown shape 'sqare'. Did you mean 'square'?
    """

    def __init__(self, kind: str, package: str | None = None) -> None:
        self.kind = kind
        self._package = package
        self._loaded = package is None
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[E], E]:
        """Decorator that enters the decorated object under `name`; a name taken already is an error."""

        def enter(entry: E) -> E:
            if name in self._entries:
                raise RuntimeError(f"The {self.kind} {name!r} is registered twice: rename one of them.")
            # The decorated class or function keeps its own type for checkers.
            self._entries[name] = cast(T, entry)
            return entry

        return enter

    def _load(self) -> dict[str, T]:
        if not self._loaded and self._package is not None:
            package = importlib.import_module(self._package)
            for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
                importlib.import_module(module.name)
            self._loaded = True
        return self._entries

    def __getitem__(self, name: str) -> T:
        try:
            return self._load()[name]
        except (KeyError, TypeError):
            raise UnknownNameError(self.kind, name, self._entries) from None

    def __contains__(self, name: object) -> bool:
        return name in self._load()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._load()))

    def __len__(self) -> int:
        return len(self._load())
