"""Compression as pure functions on networks: the callbacks and the Learner's verbs only decide when to call them."""

from fastgpu.compress.prune import Pruned, prune

__all__ = ["Pruned", "prune"]
