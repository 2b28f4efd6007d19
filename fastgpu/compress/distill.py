"""Knowledge distillation: a network learns what another one answers (Hinton et al., 2015, https://arxiv.org/abs/1503.02531)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from fastgpu.errors import ArgumentError

__all__ = ["distillation_loss"]


def distillation_loss(student: Tensor, teacher: Tensor, *, classes: int | None = -1, temperature: float = 2.0) -> Tensor:
    """How far a network's outputs are from those of its teacher, as one number.

    Args:
        student: outputs of the network that learns, any shape.
        teacher: outputs of the other one, of the same shape.
        classes: the axis along which outputs are logits of classes, of which one is right: the Kullback-Leibler divergence of
            the softened probabilities, times the square of the temperature. None: outputs are numbers of their own: the
            squared error, in units of the teacher's variance.
        temperature: what logits are divided by before; above 1 it tells more of the classes that are not the likeliest.

    Raises:
        ArgumentError: the shapes differ.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
        >>> distillation_loss(logits, logits).item()
        0.0
    """
    if student.shape != teacher.shape:
        came = f"{tuple(student.shape)} and {tuple(teacher.shape)}"
        raise ArgumentError(f"A teacher answers in the shape in which the student does. {came} came. Give a teacher of the same classes.")
    student, teacher = student.float(), teacher.detach().float()
    if classes is None:
        return F.mse_loss(student, teacher) / teacher.var(unbiased=False).clamp_min(1e-6)
    ours, theirs = ((each / temperature).log_softmax(classes) for each in (student, teacher))
    places = student.numel() // student.shape[classes]
    return F.kl_div(ours, theirs, reduction="sum", log_target=True) / places * temperature**2
