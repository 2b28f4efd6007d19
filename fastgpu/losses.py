"""Losses: torch's own classes by their own names, and the table of names that a task takes.

    loss = fastgpu.losses.CrossEntropyLoss()
    loss(logits, target).backward()
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import (
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    Module,
    MSELoss,
    MultiLabelSoftMarginLoss,
    MultiMarginLoss,
    NLLLoss,
    SmoothL1Loss,
)

from fastgpu.errors import ArgumentError, UnknownNameError

__all__ = [
    "FITTING",
    "LOSSES",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "SigmoidFocalLoss",
    "SmoothL1Loss",
    "create",
]


class SigmoidFocalLoss(Module):
    """Focal loss of independent labels, `torchvision.ops.sigmoid_focal_loss` averaged over all items and labels.

    Source: Lin et al., Focal Loss for Dense Object Detection, 2017, https://arxiv.org/abs/1708.02002.

    Args:
        alpha: weight of the positive labels, 0 to 1; -1 for none.
        gamma: how much well-classified labels count less, at least 0.
        reduction: `"mean"`, `"sum"` or `"none"`, as torch's losses have it.

    Example:
        >>> SigmoidFocalLoss()(torch.tensor([[4.0, -4.0]]), torch.tensor([[1.0, 0.0]])).item() < 0.001
        True
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "mean") -> None:
        super().__init__()
        self.alpha, self.gamma, self.reduction = alpha, gamma, reduction

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Logits and 0/1 targets, both `(batch, labels)` -> the mean loss, a scalar; `(batch, labels)` without reduction."""
        from torchvision.ops import sigmoid_focal_loss  # imported here: torchvision takes a second

        return sigmoid_focal_loss(logits, target.to(logits.dtype), alpha=self.alpha, gamma=self.gamma, reduction=self.reduction)


LOSSES: dict[str, type[Module]] = {
    "cross_entropy": CrossEntropyLoss,
    "multi_margin": MultiMarginLoss,
    "bce_with_logits": BCEWithLogitsLoss,
    "focal": SigmoidFocalLoss,
    "multilabel_soft_margin": MultiLabelSoftMarginLoss,
    "mse": MSELoss,
    "mae": L1Loss,
    "huber": HuberLoss,
    "smooth_l1": SmoothL1Loss,
}
"""Name -> class; each is called with `(logits, target)`."""

FITTING: dict[str, tuple[str, ...]] = {
    "classification": ("cross_entropy", "multi_margin"),
    "multilabel": ("bce_with_logits", "focal", "multilabel_soft_margin"),
    "regression": ("mse", "mae", "huber", "smooth_l1"),
}
"""Task -> names of the losses that it takes."""

WEIGHT_ARGUMENT: dict[str, str] = {
    "cross_entropy": "weight",
    "multi_margin": "weight",
    "bce_with_logits": "pos_weight",
    "multilabel_soft_margin": "weight",
}
"""Losses that can weigh classes -> the argument that takes the weights."""


def create(task: str, name: str, outputs: int, *, class_weight: tuple[float, ...] | None = None) -> Module:
    """The loss `name` for `task`.

    Args:
        task: a name in `FITTING`.
        name: a name in `FITTING[task]`.
        outputs: number of classes, labels or targets.
        class_weight: one weight a class, in the order of the classes; None weighs all alike. For
            `"bce_with_logits"` it weighs each label's positive items.

    Raises:
        UnknownNameError: no task has a loss of that name.
        ArgumentError: the loss is one of another task, or cannot weigh classes, or there are not as many weights.

    Example:
        >>> create("classification", "cross_entropy", 2, class_weight=(1.0, 2.0)).weight
        tensor([1., 2.])
    """
    fitting = FITTING[task]
    if name not in LOSSES:
        raise UnknownNameError("loss", name, LOSSES, hint=f"Losses of {task}: {', '.join(fitting)}.")
    if name not in fitting:
        raise ArgumentError(f"The loss must fit the task. {name!r} is not a loss of {task}. Take one of: {', '.join(fitting)}.")
    if class_weight is None:
        return LOSSES[name]()
    if name not in WEIGHT_ARGUMENT:
        able = [n for n in fitting if n in WEIGHT_ARGUMENT]
        instead = f"Take one of: {', '.join(able)}." if able else f"Leave it out: {task} has no classes to weigh."
        raise ArgumentError(f"class_weight needs a loss that weighs classes. {name!r} does not. {instead}")
    if len(class_weight) != outputs:
        raise ArgumentError(f"class_weight needs one weight a class, {outputs} here. {len(class_weight)} came.")
    return LOSSES[name](**{WEIGHT_ARGUMENT[name]: torch.tensor(class_weight, dtype=torch.get_default_dtype())})
