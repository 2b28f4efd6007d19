"""Compressing networks: functions on `torch.nn.Module` that need neither the Learner nor Lightning."""

from fastgpu.compress.prune import Pruned, prune

__all__ = ["Pruned", "prune"]
