"""Comparisons that several tests make."""

from __future__ import annotations

import torch


def same_weights(one, other) -> bool:
    """Whether two learners' networks are equal to the bit."""
    a, b = one.module.state_dict(), other.module.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
