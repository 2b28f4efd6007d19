"""The data by which parameters of recommenders are counted."""

from __future__ import annotations

from typing import Any

__all__ = ["TYPICAL"]

TYPICAL: tuple[dict[str, Any], dict[str, Any]] = (
    {"kind": "interactions", "users": 944, "items": 1683, "history": 50, "user_cardinalities": (), "item_cardinalities": ()},
    {"task": "ranking", "outputs": 1},
)
"""Users and items of MovieLens 100K, without side features."""
