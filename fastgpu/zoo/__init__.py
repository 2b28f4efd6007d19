"""The zoo: every architecture by name, its facts, and building it for data.

A name is `family` or `family/variant` (`mlp`, `text_encoder/tiny`), or one of timm's (`resnet18`). A new family is one file
below this package that registers itself in `entry.FAMILIES`.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
from typing import Any

import torch
from torch import nn

from fastgpu.errors import MissingPackageError, ArgumentError, UnknownNameError
from fastgpu.zoo.checkpoints import configuration
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__ = ["Built", "Entry", "Family", "ModelInfo", "build", "check_task", "find", "list_models", "model_info", "wrap"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Facts about an architecture.

    Args:
        name: its name.
        inputs: input kinds that it takes.
        tasks: tasks that it can be built for.
        parameters: how many numbers are trained, with the typical input and target that `model_info` names; None where the
            packages of its extra are not installed.
        licence: licence of the code, and of pretrained weights where there are any.
        source: where the architecture comes from.
        size: `(height, width)` in pixels that it was made for; None where it has no opinion.
        pretrained: whether pretrained weights are published for it.
        extra: the extra of FastGPU that it needs, `""` where there is none.
    """

    name: str
    inputs: tuple[str, ...]
    tasks: tuple[str, ...]
    parameters: int | None
    licence: str
    source: str
    size: tuple[int, int] | None
    pretrained: bool
    extra: str

    def __str__(self) -> str:
        rows = {
            "inputs": ", ".join(self.inputs),
            "tasks": ", ".join(self.tasks),
            "parameters": f"pip install 'fastgpu[{self.extra}]' tells" if self.parameters is None else f"{self.parameters:,}",
            "licence": self.licence,
            "source": self.source,
            "size": "any" if self.size is None else f"{self.size[0]}x{self.size[1]}",
            "pretrained": "weights are published" if self.pretrained else "no",
            "needs": f"pip install 'fastgpu[{self.extra}]'" if self.extra else "nothing more",
        }
        return "\n".join([self.name, *(f"  {name:<11} {value}" for name, value in rows.items())])


def list_models(pattern: str = "*", *, task: str | None = None, input: str | None = None) -> list[str]:
    """Names of architectures, in alphabetical order.

    Args:
        pattern: names to list, with `*` and `?` as in a shell.
        task: only those that can be built for this task, one of `fastgpu.tasks.TASKS`, such as `"classification"`.
        input: only those that take this input kind, one of `fastgpu.inputs.INPUTS`, such as `"image"`.

    Raises:
        UnknownNameError: no architecture knows such a task or input kind.

    Example:
        >>> list_models("text*", task="classification")
        ['text_bag', 'text_encoder/mini', 'text_encoder/small', 'text_encoder/tiny']
    """
    names = [(family, name) for family in FAMILIES.values() for name in family.names()]
    if task is not None or input is not None:
        entries = [(name, family.entry(name)) for family, name in names]
        _known("task", task, {t for _, e in entries for t in e.tasks})
        _known("input kind", input, {i for _, e in entries for i in e.inputs})
        found = [n for n, e in entries if (task is None or task in e.tasks) and (input is None or input in e.inputs)]
    else:
        found = [name for _, name in names]
    return sorted(fnmatch.filter(found, pattern))


def _known(kind: str, name: str | None, known: set[str]) -> None:
    if name is not None and name not in known:
        raise UnknownNameError(kind, name, known)


@functools.lru_cache(maxsize=256)
def find(name: str) -> tuple[Family, Entry]:
    """The family that answers a name, and the facts about the architecture.

    Args:
        name: an architecture's name; timm's may carry the tag of particular weights (`resnet18.a1_in1k`).

    Raises:
        UnknownNameError: there is no such name; the nearest ones are given.
    """
    # Family by family: a name of ours is found without importing timm, which takes seconds.
    for family in FAMILIES.values():
        if name.startswith(family.prefixes or "") and name in family.names():
            return family, family.entry(name)
    for family in FAMILIES.values():
        if family.answers is not None and family.answers(name):
            return family, family.entry(name)
    base, dot, _ = name.partition(".")
    is_path = name.startswith(("/", ".", "~"))
    if dot and not is_path:
        family, _ = find(base)
        return family, family.entry(name)
    hint = 'fastgpu.zoo.list_models("*resnet*") lists names by a pattern.'
    if is_path:
        hint = "A path leads to the folder of a checkpoint, with its config.json, and has to stay there for what is trained from it."
        kind = configuration(name).get("model_type")
        hint += f" This one holds {kind!r}, a type that is not taken." if kind else ""
    raise UnknownNameError("architecture", name, list_models(), hint)


def build(name: str, facts: dict[str, Any], target: int | dict[str, Any], pretrained: bool | str = False) -> Built:
    """Build an architecture for data.

    Args:
        name: the architecture's name, see `list_models`.
        facts: what `Input.facts()` gives: `"kind"` and the sizes of that kind, such as `{"kind": "image", "channels": int,
            "size": (height, width)}` or `{"kind": "table", "numbers": int, "cardinalities": (int, ...)}`.
        target: what `Task.facts()` gives, `{"task": "classification", "outputs": 10}` and what a task adds; or just how
            many numbers an item gets.
        pretrained: False never looks for weights, True insists on them, `"auto"` takes them where they can be had;
            `"layout"` builds what pretrained weights would go into, without them, for weights that were saved.

    Returns:
        The network, and what was decided.

    Raises:
        UnknownNameError: there is no such name.
        ArgumentError: the architecture does not take this input kind, or is not made for the task.
        NetworkError: `pretrained` is True and the weights can not be had.
        ModelError: the network does not take pictures of this size.

    Example:
        >>> build("mlp", {"kind": "table", "numbers": 4, "cardinalities": ()}, 3).net
        Sequential(
          (0): Linear(in_features=4, out_features=128, bias=True)
          (1): ReLU()
          (2): Linear(in_features=128, out_features=3, bias=True)
        )
    """
    family, entry = find(name)
    target = {"task": entry.tasks[0], "outputs": target} if isinstance(target, int) else target
    if facts["kind"] not in entry.inputs:
        others = ", ".join(_examples(target["task"], facts["kind"])) or "none yet"
        raise ArgumentError(
            f"The architecture has to take the data. {name} takes {' or '.join(entry.inputs)}, the data are {facts['kind']}. "
            f"For these: {others}."
        )
    check_task(entry, target["task"])
    if pretrained and pretrained != "layout" and not entry.pretrained:
        from fastgpu.zoo.pretrained import weights_file

        _, note = weights_file(name, pretrained)
        built = family.build(name, facts, target, False)
        built = dataclasses.replace(built, notes=(note, *built.notes))
    else:
        built = family.build(name, facts, target, pretrained)
    constants = tuple(name for name, parameter in built.net.named_parameters() if not parameter.requires_grad)
    return dataclasses.replace(built, constants=constants)


def check_task(entry: Entry, task: str) -> None:
    """Say in one line that an architecture is not made for a task, and which ones are.

    Raises:
        ArgumentError: it is not.
    """
    if task not in entry.tasks:
        others = ", ".join(_examples(task)) or "none yet"
        raise ArgumentError(
            f"The architecture has to fit the task. {entry.name} is for {' or '.join(entry.tasks)}, the task is {task}. For it: {others}."
        )


_COMMON = ("resnet18", "vit_tiny_patch16_224", "tiny")
"""What an example of a family is to end in, if it can."""


def _examples(task: str, kind: str | None = None) -> list[str]:
    """A few architectures for a task, and an input kind, one of each family."""
    found = []
    for family in FAMILIES.values():
        names = family.names()
        chosen = next((name for common in _COMMON for name in names if name.endswith(common)), next(iter(names), None))
        if chosen is None:
            continue
        entry = family.entry(chosen)
        if task in entry.tasks and kind in (None, *entry.inputs):
            found.append(chosen)
    return found[:5]


def wrap(module: nn.Module) -> Built:
    """Take a network of the user's own, as it is.

    Args:
        module: any `nn.Module` that is called with the input's columns in order and gives `(batch, outputs)`; of a timm
            network, which has `get_classifier()`, the last layer is found.

    Raises:
        ArgumentError: it is no network, or it is a class that was not called.
    """
    if isinstance(module, type) and issubclass(module, nn.Module):
        raise ArgumentError(f"The architecture is a name or a network. Got the class {module.__name__}: call it first.")
    if not isinstance(module, nn.Module):
        raise ArgumentError(f"The architecture is a name or a torch.nn.Module. Got {type(module).__name__}.")
    head: tuple[str, ...] = ()
    if callable(getattr(module, "get_classifier", None)):
        classifier = module.get_classifier()  # pyright: ignore[reportCallIssue]
        parts = classifier if isinstance(classifier, tuple | list) else (classifier,)
        head = tuple(name for name, part in module.named_modules() if any(part is p for p in parts))
    return Built(net=module, head=head)


def model_info(name: str) -> ModelInfo:
    """Facts about an architecture; no weights are made or fetched.

    Parameters are counted for what the family calls typical (`Entry.typical`), else for 1,000 outputs and, where the
    architecture has no size of its own, for pictures of 28x28 with one channel, texts of 256 tokens out of 8,000, or
    tables of 16 numbers.

    Raises:
        UnknownNameError: there is no such name.

    Example:
        >>> model_info("text_bag").parameters
        577000
    """
    family, entry = find(name)
    facts, target = entry.typical or (_typical(entry), {"task": entry.tasks[0], "outputs": 1000})
    try:
        with torch.device("meta"):
            parameters = sum(p.numel() for p in family.build(name, facts, target, False).net.parameters())
    except MissingPackageError:
        parameters = None
    return ModelInfo(
        name=name,
        inputs=entry.inputs,
        tasks=entry.tasks,
        parameters=parameters,
        licence=entry.licence,
        source=entry.source,
        size=entry.size,
        pretrained=entry.pretrained,
        extra=entry.extra,
    )


def _typical(entry: Entry) -> dict[str, Any]:
    kind = entry.inputs[0]
    facts: dict[str, dict[str, Any]] = {
        "image": {"channels": 1, "size": (28, 28)} if entry.size is None else {"channels": 3, "size": entry.size},
        "text": {"vocabulary": 8000, "max_length": 256, "pad": 0},
        "table": {"numbers": 16, "cardinalities": ()},
    }
    return {"kind": kind, **facts[kind]}
