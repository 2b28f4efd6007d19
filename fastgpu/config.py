"""Settings of a learner: frozen, keyword-only, plain where the user gave names."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

from fastgpu.errors import ArgumentError, UnknownKeywordError, nearest

__all__ = ["KIND_OPTIONS", "SOURCE_OPTIONS", "Settings", "has_object", "is_auto", "known_keywords", "plain", "several"]

SOURCE_OPTIONS = ("columns", "window", "stride")
"""Settings that say how a file is read; those sources take them that need them."""

KIND_OPTIONS = ("tokenizer", "sampling_rate", "positive", "quantile")
"""Settings that only some input kinds or tasks take, named in their `options`."""

MANY = 25_000
"""Most numbers of an array that is a setting, such as the weights of ImageNet's 21,843 classes; longer ones are data."""

P = ParamSpec("P")
R = TypeVar("R")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What `Learner(...)` was called with; each field is explained there."""

    task: str = "auto"
    target: Any = None
    loss: Any = "auto"
    metrics: Any = "auto"
    optimizer: Any = "auto"
    lr: float | str = "auto"
    weight_decay: float | None = None
    batch_size: int | str = "auto"
    pretrained: bool | str = False
    precision: Any = "auto"
    devices: Any = "auto"
    strategy: Any = "auto"
    accumulate: int = 1
    clip: float | None = None
    seed: int = 0
    deterministic: bool = False
    compile: bool = False
    augment: bool = False
    validation_split: float | None = 0.2
    class_weight: Any = None
    patience: int | None = None
    max_time: Any = None
    image_size: Any = None
    tokenizer: Any = None
    sampling_rate: int | None = None
    columns: Any = None
    window: int | None = None
    stride: int | None = None
    positive: float | None = None
    quantile: float | None = None
    decode_every: int = 1
    decode_batches: int | None = None
    workers: int = 0
    on_bad_item: str = "raise"
    data_dir: str | None = None
    name: str | None = None
    out: str = "runs"
    report: bool = True
    verbose: bool = True

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.generic):  # a NumPy scalar is a number like any other
                object.__setattr__(self, field.name, value.item())
        flags = ("deterministic", "compile", "augment", "report", "verbose")
        rules: list[tuple[str, bool, str]] = [
            ("accumulate", _whole(self.accumulate, 1), "a whole number of batches, at least 1"),
            ("batch_size", is_auto(self.batch_size) or _whole(self.batch_size, 1), "'auto' or a whole number, at least 1"),
            ("lr", is_auto(self.lr) or _positive(self.lr), "'auto' or a number above 0"),
            ("weight_decay", self.weight_decay is None or self.weight_decay == 0 or _positive(self.weight_decay), "None or a number from 0 up"),
            ("clip", self.clip is None or _positive(self.clip), "None or a norm above 0"),
            ("validation_split", not self.validation_split or _share(self.validation_split), "None or a share between 0 and 1"),
            ("patience", self.patience is None or _whole(self.patience, 1), "None or a whole number of epochs, at least 1"),
            ("workers", _whole(self.workers, 0), "a whole number of processes, at least 0"),
            ("columns", self.columns is None or isinstance(self.columns, dict), "None or a dict: what a column is -> its name"),
            ("decode_every", _whole(self.decode_every, 1), "a whole number of epochs, at least 1"),
            *(
                (count, getattr(self, count) is None or _whole(getattr(self, count), 1), "None or a whole number, at least 1")
                for count in ("sampling_rate", "window", "stride", "decode_batches")
            ),
            ("positive", self.positive is None or _number(self.positive), "None or the number from which on a rating is a like"),
            ("quantile", self.quantile is None or _share(self.quantile), "None or a share between 0 and 1"),
            ("seed", _whole(self.seed, 0), "a whole number, at least 0"),
            ("pretrained", isinstance(self.pretrained, bool) or is_auto(self.pretrained), "True, False or 'auto'"),
            ("name", self.name is None or isinstance(self.name, str), "None or a text"),
            ("precision", isinstance(self.precision, (str, int)), "a name or a number of bits"),
            *((flag, isinstance(getattr(self, flag), bool), "True or False") for flag in flags),
            ("on_bad_item", self.on_bad_item in ("raise", "skip"), "'raise' or 'skip'"),
        ]
        for name, holds, rule in rules:
            if not holds:
                raise ArgumentError(f"{name} is {rule}. {getattr(self, name)!r} came. Give such a value.")

    def plain(self) -> dict[str, Any]:
        """The settings for JSON and YAML; objects of the user's own stand as `{"object": "..."}`."""
        return {field.name: plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


def is_auto(value: Any) -> bool:
    """Whether a setting is the word `"auto"`; objects of the user's own may compare in ways of their own."""
    return isinstance(value, str) and value == "auto"


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _share(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1


def plain(value: Any) -> Any:
    """A setting for JSON and YAML; an object of the user's own stands as `{"object": "..."}`."""
    if isinstance(value, np.generic) or isinstance(value, np.ndarray) and value.ndim < 2 and value.size <= MANY:  # others are data
        value = value.tolist()
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    return {"object": getattr(value, "__name__", type(value).__name__)}


def has_object(value: Any) -> bool:
    """Whether a setting as `plain` gives it is, or holds, an object of the user's own."""
    if isinstance(value, dict):
        return set(value) == {"object"} or any(map(has_object, value.values()))
    return isinstance(value, list) and any(map(has_object, value))


def known_keywords(call: Callable[P, R]) -> Callable[P, R]:
    """Decorator: a misspelt keyword is answered with the nearest ones, a missing argument with the signature.

    Example:
        >>> @known_keywords
        ... def fit(epochs=1, *, lr=None): return epochs
        >>> fit(epoch=3)
        Traceback (most recent call last):
        fastgpu.errors.UnknownKeywordError: fit does not take 'epoch'. Did you mean 'epochs'? It takes: epochs, lr.
    """
    signature = inspect.signature(call)
    takes = [name for name in signature.parameters if name not in ("self", "cls")]

    @functools.wraps(call)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            # The class that the user knows, not the one that defines the method.
            owner = type(args[0]).__name__ if "self" in signature.parameters and args else ""
            shown = ".".join(part for part in (owner, call.__name__) if part and part != "__init__")
            unknown = [name for name in kwargs if name not in takes]
            if not unknown:
                raise UnknownKeywordError(f"{shown} was called wrongly: {error}. It takes: {', '.join(takes)}.") from None
            near = nearest(unknown[0], takes)
            advice = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
            raise UnknownKeywordError(f"{shown} does not take {unknown[0]!r}.{advice} It takes: {', '.join(takes)}.") from None
        return call(*args, **kwargs)

    return checked


def several(given: Any) -> tuple[Any, ...]:
    """One or several -> a tuple; None and False are none."""
    if given is None or given is False:
        return ()
    return tuple(given) if isinstance(given, (list, tuple)) else (given,)
