"""The space that `learn.tune` searches: settings with choices and ranges, checked before anything is trained."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from torch.utils.data import Dataset

from fastgpu.assemble import architecture_name, build_network
from fastgpu.config import Settings
from fastgpu.data.split import LoaderSplit
from fastgpu.errors import ArgumentError, UnknownNameError
from fastgpu.fit_planning import plan_fit
from fastgpu.recipe import check_recipe, choose_lr, class_weights, make_module
from fastgpu.train.hardware import choose
from fastgpu.train.preflight import check_batch, check_precision
from fastgpu.train.reproducible import own_randomness

if TYPE_CHECKING:
    from fastgpu.data.loaders import Batch
    from fastgpu.learner import Learner

__all__ = ["TUNED", "Choices", "Range", "check_space", "combinations", "untried", "with_values"]

OF_SETTINGS = ("accumulate", "augment", "batch_size", "class_weight", "clip", "loss", "lr", "optimizer", "precision", "weight_decay")
TUNED = ("architecture", *OF_SETTINGS, "schedule")
"""What can be searched: what needs no other data. `schedule` is that of `fit`."""

OF_NUMBERS = ("accumulate", "batch_size", "clip", "lr", "weight_decay")
"""Settings that may have a range."""

TOGETHER = (("class_weight", "loss"), ("optimizer", "weight_decay"))
"""Settings of which one may not take what another is: every combination of these is checked, of the others every value."""


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

    @property
    def points(self) -> range:
        """All that Optuna can choose: numbers of the values."""
        return range(len(self.values))

    def suggest(self, trial: Any, name: str) -> Any:
        """A value that Optuna's trial chooses; by its number, since objects of any kind may stand here."""
        return self.values[trial.suggest_categorical(name, list(self.points))]


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

    @property
    def points(self) -> range | None:
        """All that Optuna can choose; None: there is no end of them."""
        return range(self.low, self.high + 1) if isinstance(self.low, int) and isinstance(self.high, int) else None

    def suggest(self, trial: Any, name: str) -> Any:
        """A value that Optuna's trial chooses."""
        suggest = trial.suggest_float if self.points is None else trial.suggest_int
        return suggest(name, self.low, self.high, log=self.log)


def check_space(learner: Learner, space: Any) -> dict[str, Choices | Range]:
    """The space as the user gave it -> what is searched.

    Args:
        learner: whose settings are searched.
        space: setting -> a list of choices, `(low, high)` or `(low, high, "log")`.

    Raises:
        UnknownNameError: there is no such setting, or no such name among the choices.
        ArgumentError: it is none of these forms, or a value is not one that the setting takes, the data, or the task.
        ModelError: a network does not take the data, or a loss its output.
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
    train = learner.data.split("train")
    if "batch_size" in found and isinstance(train, LoaderSplit) and not isinstance(train.given, Dataset):
        raise ArgumentError("batch_size is searched where batches are made here. The data came in batches, from a DataLoader. Give its Dataset.")
    first, few = with_values(learner, {name: each.ends[0] for name, each in found.items()}), train.head(2)
    for names in (*TOGETHER, *((name,) for name in found if not any(name in pair for pair in TOGETHER))):
        here = [name for name in names if name in found]
        for values in itertools.product(*(found[name].ends for name in here)):
            _check(with_values(first, dict(zip(here, values))), few)
            if "schedule" in here:
                plan_fit(learner, 1, None, values[0])
    return found


def combinations(searched: Mapping[str, Choices | Range]) -> int | None:
    """How many combinations a space has; None: there is no end of them.

    Example:
        >>> combinations({"optimizer": Choices(("adamw", "sgd")), "batch_size": Range(16, 18, False)})
        6
        >>> combinations({"lr": Range(0.1, 0.2, False)})
    """
    points = [each.points for each in searched.values()]
    return None if None in points else math.prod(len(each) for each in points if each is not None)


def untried(searched: Mapping[str, Choices | Range], tried: Collection[tuple[int, ...]], start: int) -> dict[str, int]:
    """The first combination that was not tried, as Optuna counts its points, from number `start` on and round to it.

    Args:
        searched: a space that has an end, in which something is left.
        tried: points in the order of the settings.
        start: number of a combination, from 0.
    """
    axes = [each.points or range(0) for each in searched.values()]
    for number in itertools.count(start):
        point = []
        for axis in axes:
            number, digit = divmod(number, len(axis))
            point.append(axis[digit])
        if tuple(point) not in tried:
            return dict(zip(searched, point))
    raise AssertionError("unreachable")


def with_values(learner: Learner, values: Mapping[str, Any]) -> Learner:
    """A copy of a learner with other settings: it shares the network, or has a fresh one of another architecture.

    Args:
        learner: stays as it is.
        values: setting -> value, of those in `TUNED`; a schedule is left to `fit`.
    """
    changed = copy.copy(learner)
    mine = {name: value for name, value in values.items() if name in OF_SETTINGS}
    changed.settings = dataclasses.replace(learner.settings, **mine)
    check_recipe(changed.settings, (), ())
    changed.hardware = choose(changed.settings.devices, changed.settings.precision) if "precision" in mine else learner.hardware
    changed.data = copy.copy(learner.data)
    if isinstance(changed.settings.batch_size, int):
        changed.data.batch_size = changed.settings.batch_size
    if "architecture" in values:
        with own_randomness(changed.settings.seed):
            built = build_network(values["architecture"], changed.data, changed.settings.pretrained)
        changed.module, changed.head, changed.constants, changed.pretrained = built.net, built.head, built.constants, built.pretrained
        changed.architecture, changed.from_zoo = architecture_name(values["architecture"]), isinstance(values["architecture"], str)
    if isinstance(changed.settings.class_weight, dict):
        changed.settings = dataclasses.replace(changed.settings, class_weight=class_weights(changed.settings.class_weight, changed))
    changed.lr = choose_lr(changed.settings)
    return changed


def _check(learner: Learner, few: Batch) -> None:
    """What a fit would answer before it trains."""
    module = make_module(learner)
    check_batch(module, few)
    check_precision(module, few, learner.hardware.precision)
    module.configure_optimizers()


def _form(name: str, given: Any) -> Choices | Range:
    if isinstance(given, list) and given:
        return Choices(tuple(value for i, value in enumerate(given) if not any(_equal(value, other) for other in given[:i])))
    if isinstance(given, tuple) and len(given) in (2, 3) and all(_number(end) for end in given[:2]) and given[2:] in ((), ("log",)):
        low, high, log = given[0], given[1], bool(given[2:])
        if name not in OF_NUMBERS:
            raise ArgumentError(f"A range is for {', '.join(OF_NUMBERS)}. {name!r} has {given!r}. Give a list of choices.")
        if low < high and (low > 0 or not log):
            return Range(low, high, log)
        raise ArgumentError(f"A range begins below its end, and above 0 where it is 'log'. {name!r} has {given!r}. Change the ends.")
    raise ArgumentError(f"{name!r} is searched in a list of choices, (low, high) or (low, high, 'log'). {given!r} came. Give one of these.")


def _equal(one: Any, other: Any) -> bool:
    return isinstance(one, (bool, int, float, str)) and type(one) is type(other) and one == other


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
