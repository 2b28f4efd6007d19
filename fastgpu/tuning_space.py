"""The space that `learn.tune` searches: settings with choices and ranges, checked before anything is trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastgpu import zoo
from fastgpu.config import Settings
from fastgpu.errors import ArgumentError, UnknownNameError
from fastgpu.fitting import plan_fit
from fastgpu.recipe import check_recipe

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["TUNED", "Choices", "Range", "check_space"]

OF_SETTINGS = ("accumulate", "augment", "batch_size", "class_weight", "clip", "loss", "lr", "optimizer", "precision", "weight_decay")
TUNED = ("architecture", *OF_SETTINGS, "schedule")
"""What can be searched: what needs no other data. `schedule` is that of `fit`."""


@dataclasses.dataclass(frozen=True)
class Choices:
    """One of several values.

    Args:
        values: the values, of any kind.
    """

    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that stand for all when the space is checked."""
        return self.values

    def suggest(self, trial: Any, name: str) -> Any:
        """A value that Optuna's trial chooses; by its number, since objects of any kind may stand here."""
        return self.values[trial.suggest_categorical(name, list(range(len(self.values))))]


@dataclasses.dataclass(frozen=True)
class Range:
    """A number from `low` to `high`, both included; whole where both are.

    Args:
        low: the least.
        high: the most.
        log: whether equal ratios are equally likely, not equal differences.
    """

    low: float
    high: float
    log: bool

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that stand for all when the space is checked."""
        return self.low, self.high

    def suggest(self, trial: Any, name: str) -> Any:
        """A value that Optuna's trial chooses."""
        suggest = trial.suggest_int if isinstance(self.low, int) and isinstance(self.high, int) else trial.suggest_float
        return suggest(name, self.low, self.high, log=self.log)


def check_space(learner: Learner, space: Any) -> dict[str, Choices | Range]:
    """The space as the user gave it -> what is searched.

    Args:
        learner: whose settings are searched.
        space: setting -> a list of choices, `(low, high)` or `(low, high, "log")`.

    Raises:
        UnknownNameError: there is no such setting, or no such name among the choices.
        ArgumentError: it is none of these forms, or a value is not one that the setting takes.
    """
    if not isinstance(space, Mapping) or not space:
        raise ArgumentError(f'A space is a dict: setting -> choices or range. {space!r} came. Give for example {{"lr": (1e-4, 1e-1, "log")}}.')
    found = {}
    for name, given in space.items():
        if name not in TUNED and name in (*Settings.__dataclass_fields__, "data", "callbacks", "logger"):
            raise ArgumentError(f"tune searches what needs no other data: {', '.join(TUNED)}. {name!r} came. Compare learners of your own for it.")
        if name not in TUNED:
            raise UnknownNameError("setting to tune", name, TUNED)
        found[name] = _form(name, given)
        for value in found[name].ends:
            _check_value(learner, name, value)
    return found


def _form(name: str, given: Any) -> Choices | Range:
    if isinstance(given, list) and given:
        return Choices(tuple(given))
    if isinstance(given, tuple) and len(given) in (2, 3) and all(_number(end) for end in given[:2]) and given[2:] in ((), ("log",)):
        low, high, log = given[0], given[1], bool(given[2:])
        if low < high and (low > 0 or not log):
            return Range(low, high, log)
        raise ArgumentError(f"A range begins below its end, and above 0 where it is 'log'. {name!r} has {given!r}. Change the ends.")
    raise ArgumentError(f"{name!r} is searched in a list of choices, (low, high) or (low, high, 'log'). {given!r} came. Give one of these.")


def _check_value(learner: Learner, name: str, value: Any) -> None:
    if name == "schedule":
        plan_fit(learner, 1, None, value)
    elif name == "architecture":
        if isinstance(value, str):
            zoo.find(value)
    else:
        check_recipe(dataclasses.replace(learner.settings, **{name: value}), (), ())


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
