"""Splitting interactions by time: of each user the earlier ones are learnt from, the later ones held out."""

from __future__ import annotations

import numpy as np

from fastgpu.data.raw import Items
from fastgpu.errors import DataError
from fastgpu.reading.interactions_rows import unknown_to

__all__ = ["by_time"]


def by_time(items: Items, share: float) -> tuple[Items, Items, tuple[str, ...]]:
    """Hold out the last share of each user's interactions; without times, the last in the order of the rows.

    What other users did later than a held-out row may be among the training items.

    Args:
        items: `Interactions` with their ratings.
        share: share to hold out, more than 0 and less than 1; of each user's rows, rounded, one stays at least.

    Returns:
        Training items, validation items, each in their old order, and notes for people.

    Raises:
        DataError: no user has two interactions.
    """
    _, user = np.unique(items.x.user.astype(str), return_inverse=True)
    order = np.lexsort((np.arange(len(user)), items.x.time, user))
    counts = np.bincount(user)
    ends = np.cumsum(counts)[user[order]]
    to_go = ends - np.arange(len(user))  # 1 for a user's last row
    held = np.minimum(np.maximum(np.floor(counts * share + 0.5), 1), counts - 1)[user[order]]
    in_val = np.zeros(len(user), dtype=bool)
    in_val[order[to_go <= held]] = True
    if not in_val.any():
        raise DataError("A split by time needs users with two interactions at least. None has. Give validation data, or validation_split=None.")
    train, val = items.take(np.flatnonzero(~in_val)), items.take(np.flatnonzero(in_val))
    how = "by the order of rows" if np.isinf(items.x.time).all() else "by time"
    note = f"validation: {len(val):,} of {len(user):,} interactions split off, the last {share:.0%} of each user's {how}"
    return train, val, (note, *unknown_to(train.x, val.x, "validation"))
