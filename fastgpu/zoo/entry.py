"""Facts about an architecture, and what building it gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from torch import nn

from fastgpu.registry import Registry

__all__ = ["FAMILIES", "Built", "Entry", "Family"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Built:
    """A network that was built for data.

    Args:
        net: the network itself, a plain module; `fastgpu.nn.adapters` calls it as its library wants.
        declares: what the network asks of its input, as fields of the `Input`: for pictures `network_size` `(height,
            width)`, `mean` and `std` of its pretrained weights; empty where the input stays as the data made it.
        pretrained: whether pretrained weights were loaded; the network's layout may depend on it.
        head: dotted names of what is new for the data, though the rest have been trained before: the last layer, and a
            detector's pyramid before it; empty: the last module that has parameters.
        constants: names of parameters that are never trained, such as fixed positions; `fastgpu.zoo.build` finds them.
        notes: what was decided, each one line, printed once.
    """

    net: nn.Module
    declares: dict[str, Any] = dataclasses.field(default_factory=dict)
    pretrained: bool = False
    head: tuple[str, ...] = ()
    constants: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """An architecture of the zoo.

    Args:
        name: `family` or `family/variant`.
        inputs: input kinds that it takes.
        tasks: tasks that it can be built for.
        source: paper, table or library where the architecture comes from.
        licence: licence of the code (of pretrained weights too where there are any).
        size: `(height, width)` that it was made for; None where it has no opinion.
        pretrained: whether pretrained weights are published for it.
        typical: `(facts, target)` by which `model_info` counts parameters; None: those usual for its input kind.
        extra: the extra of FastGPU that brings its library, `""` where the core does.
        settings: settings of the learner that it brings where the user gives none: a checkpoint's own tokenizer.
    """

    name: str
    inputs: tuple[str, ...]
    tasks: tuple[str, ...]
    source: str
    licence: str
    size: tuple[int, int] | None = None
    pretrained: bool = False
    typical: tuple[dict[str, Any], dict[str, Any]] | None = None
    extra: str = ""
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """A file of the zoo: which names it answers, and how one of them is built.

    Args:
        names: lists the names, at call time.
        entry: name -> its facts.
        build: `build(name, facts, target, pretrained) -> Built`; `facts` come from `Input.facts()`, `target` from
            `Task.facts()` (`"task"`, `"outputs"`, and what the task adds), `pretrained` is False, True, `"auto"`, or
            `"layout"`: as if weights had been loaded, but without them.
        prefixes: how each of its names begins, so that a family whose names come from a library is asked for these alone;
            empty: for any.
        answers: whether it answers a name that no family lists, such as the path of a checkpoint; None: it does not.
    """

    names: Callable[[], list[str]]
    entry: Callable[[str], Entry]
    build: Callable[[str, dict[str, Any], dict[str, Any], bool | str], Built]
    prefixes: tuple[str, ...] = ()
    answers: Callable[[str], bool] | None = None


FAMILIES: Registry[Family] = Registry("family of architectures", "fastgpu.zoo")
