"""Splitting off validation data."""

from __future__ import annotations

import numpy as np

from fastgpu.data.raw import Items
from fastgpu.errors import ArgumentError, DataError

__all__ = ["split"]


def split(items: Items, share: float, seed: int = 0, stratify: bool = True) -> tuple[Items, Items, tuple[str, ...]]:
    """Split items at random into a part for training and one for validation.

    Args:
        items: what is split.
        share: share that goes to validation, more than 0 and less than 1; at least one item goes to either part.
        seed: the same seed gives the same split.
        stratify: whether classes keep their shares; every class of two or more items then has one in each part, where
            validation has that many places. Only for targets `(n,)`; others are split at random. Items of a group
            (`Items.group`) stay together; then whole groups are drawn, each counting as its first item's class.

    Returns:
        Training items and validation items, each in their old order, and notes for people.

    Raises:
        ArgumentError: the share is not between 0 and 1.
        DataError: there are fewer than two items.

    Example:
        >>> import numpy as np
        >>> train, val, _ = split(Items(np.arange(10), np.repeat([0, 1], 5)), 0.4)
        >>> sorted(val.y.tolist())
        [0, 0, 1, 1]
    """
    total = len(items)
    if not isinstance(share, (int, float)) or isinstance(share, bool) or not 0 < share < 1:
        raise ArgumentError(
            f"The share for validation must be more than 0 and less than 1. {share!r} came. Give, for example, 0.2."
        )
    if total < 2:
        raise DataError(f"A split needs at least two items. {total} came. Give validation data of your own.")
    if items.group is not None:
        return _by_group(items, share, seed, stratify)
    wanted = min(max(round(total * share), 1), total - 1)
    order = np.random.default_rng(seed).permutation(total)
    notes: list[str] = []
    if stratify and items.y is not None and items.y.ndim == 1 and _comparable(items.y):
        names, classes = np.unique(items.y, return_inverse=True)
        counts = np.bincount(classes)
        quota = _quota(counts, wanted)
        # Items in random order, grouped by class: the first `quota` of each group are taken.
        grouped = order[np.argsort(classes[order], kind="stable")]
        rank = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
        chosen = grouped[rank < np.repeat(quota, counts)]
        how = "the same share of each class"
        alone = names[counts == 1]
        if len(alone):
            listed = ", ".join(map(str, alone[:5])) + (", ..." if len(alone) > 5 else "")
            notes.append(f"classes with a single item are in train only: {listed}")
    else:
        chosen, how = order[:wanted], "at random"
    in_val = np.zeros(total, dtype=bool)
    in_val[chosen] = True
    notes.insert(0, f"validation: {len(chosen):,} of {total:,} training items split off, {how}, seed {seed}")
    return items.take(np.flatnonzero(~in_val)), items.take(np.flatnonzero(in_val)), tuple(notes)


def _by_group(items: Items, share: float, seed: int, stratify: bool) -> tuple[Items, Items, tuple[str, ...]]:
    """Split whole groups: windows of one run, or frames of one episode, are too alike to stand on both sides."""
    _, first, member = np.unique(np.asarray(items.group).astype(str), return_index=True, return_inverse=True)
    if len(first) < 2:
        raise DataError(
            f"A split keeps each run whole, so it needs at least two. All {len(items):,} items belong to one. "
            "Give validation data of your own, or validation_split=None."
        )
    labels = items.y[first] if items.y is not None and items.y.ndim == 1 else None
    kept, held, said = split(Items(np.arange(len(first)), labels), share, seed, stratify)
    in_val = np.isin(member, held.x)
    note = f"validation: {len(held):,} of {len(first):,} runs split off whole, {in_val.sum():,} of {len(items):,} items, seed {seed}"
    return items.take(np.flatnonzero(~in_val)), items.take(np.flatnonzero(in_val)), (note, *said[1:])


def _comparable(y: np.ndarray) -> bool:
    return y.dtype != object or all(isinstance(v, str) for v in y)


def _quota(counts: np.ndarray, wanted: int) -> np.ndarray:
    """How many items each class gives, `wanted` in all where the classes allow it."""
    share = counts * (wanted / counts.sum())
    most = np.maximum(counts - 1, 0)  # one of each class stays for training
    quota = np.minimum(np.floor(share).astype(np.int64), most)
    at_least = np.minimum(most, 1)
    if at_least.sum() <= wanted:
        quota = np.maximum(quota, at_least)
    # What is left over goes to the classes that rounding cut most; what is too much comes from those it favoured.
    while (gap := wanted - int(quota.sum())) != 0:
        free = quota < most if gap > 0 else quota > at_least
        if not free.any():
            break
        need = np.where(free, (share - quota) * np.sign(gap), -np.inf)
        changed = np.argsort(-need, kind="stable")[: min(abs(gap), int(free.sum()))]
        quota[changed] += np.sign(gap)
    return quota
