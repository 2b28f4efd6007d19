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
        net: the network itself, a plain module, called positionally with the input's keys.
        size: `(height, width)` that pictures are resized to before the network, None where they stay.
        mean: channel means the network's weights were trained with (scale 0 to 1), None: use the data's.
        std: channel standard deviations, likewise.
        pretrained: whether pretrained weights were loaded; the network's layout may depend on it.
        head: dotted name of the last layer, `""` where the whole network is trained at once.
        notes: what was decided, each one line, printed once.
    """

    net: nn.Module
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    pretrained: bool = False
    head: str = ""
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
    """

    name: str
    inputs: tuple[str, ...]
    tasks: tuple[str, ...]
    source: str
    licence: str
    size: tuple[int, int] | None = None
    pretrained: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """A file of the zoo: which names it answers, and how one of them is built.

    Args:
        names: lists the names, at call time.
        entry: name -> its facts.
        build: `build(name, facts, outputs, pretrained) -> Built`; `facts` come from `Input.facts()`, `outputs` is how
            many numbers an item gets, `pretrained` is False, True, `"auto"`, or `"layout"`: as if weights had been loaded, but without them.
    """

    names: Callable[[], list[str]]
    entry: Callable[[str], Entry]
    build: Callable[[str, dict[str, Any], int, bool | str], Built]


FAMILIES: Registry[Family] = Registry("family of architectures", "fastgpu.zoo")
