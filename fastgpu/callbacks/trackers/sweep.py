"""Sweeps of Weights & Biases: the values that an agent hands over take the place of a Learner's own."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec

from fastgpu.callbacks.log_rows import with_trackers
from fastgpu.callbacks.trackers.wandb import WandBLogger
from fastgpu.config import several
from fastgpu.console import unbroken

__all__ = ["swept"]

P = ParamSpec("P")


def swept(make: Callable[P, None]) -> Callable[P, None]:
    """Decorator of a constructor: in the process of an agent, the sweep's values of the same names win.

    That holds for what logs to Weights & Biases; a teacher, say, that is made without keeps its own. Values of other
    names are left to the script, in `wandb.config`.
    """
    signature = inspect.signature(make)

    @functools.wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> None:
        values = _values()
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:  # the constructor itself says what is wrong
            return make(*args, **kwargs)
        if not values or not _logs(bound.arguments):
            return make(*args, **kwargs)
        mine = {name: value for name, value in values.items() if name in signature.parameters}
        others = sorted(values.keys() - mine.keys())
        with unbroken():
            left = f"; left to the script: {', '.join(others)}" if others else ""
            print(f"sweep: {', '.join(f'{name}={value!r}' for name, value in mine.items())}{left}", flush=True)
        bound.arguments |= mine
        return make(*bound.args, **bound.kwargs)

    return made


def _logs(arguments: dict[str, Any]) -> bool:
    _, loggers = with_trackers(several(arguments.get("callbacks")), several(arguments.get("logger")))
    return any(each == "wandb" or isinstance(each, WandBLogger) for each in loggers)


def _values() -> dict[str, Any]:
    """What the agent wrote for this process: a file that it names in the environment."""
    file = os.environ.get("WANDB_SWEEP_PARAM_PATH")
    if not os.environ.get("WANDB_SWEEP_ID") or not file or not Path(file).is_file():
        return {}
    import yaml

    written = yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {}
    return {name: entry["value"] for name, entry in written.items() if isinstance(entry, dict) and "value" in entry}
