"""Side features of users and items: columns of a table beside, as codes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from fastgpu.reading.packed import pack, unpack
from fastgpu.reading.table_columns import codes_of, kind_of, levels_of, numbers_of

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Sides"]

RANGES = 10
"""Ranges that a column of more distinct numbers is cut into."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sides:
    """Codes of side features, plain data.

    Args:
        names: the columns.
        sizes: how many codes each has, 0 among them: missing, or one of very many values.
        codes: packed int32 `(entities, columns)`, in the order of the entities.
    """

    names: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    codes: str = ""

    @classmethod
    def fit(cls, frame: DataFrame | None, ids: tuple[str, ...]) -> Sides:
        """Read the columns of a table, indexed by id, for the entities `ids`; a column that tells them all apart is none."""
        if frame is None or not len(frame.columns):
            return cls()
        frame = frame.reindex(list(ids))
        found = {str(name): _codes(column) for name, column in frame.items()}
        found = {name: codes for name, codes in found.items() if 1 < codes.max() <= max(2, len(ids) // 2)}
        if not found:
            return cls()
        return cls(
            names=tuple(found),
            sizes=tuple(int(codes.max()) + 1 for codes in found.values()),
            codes=pack(np.stack(list(found.values()), 1).astype("<i4")),
        )

    def table(self, entities: int) -> np.ndarray:
        """`(entities + 1, columns)` int64: the codes by the entity's own code, zeros for code 0, the unknown one."""
        table = np.zeros((entities + 1, len(self.names)), np.int64)
        if self.names:
            table[1:] = unpack(self.codes, "<i4").reshape(entities, -1)
        return table

    def to_dict(self) -> dict[str, Any]:
        """The fields."""
        return dataclasses.asdict(self)


def _codes(column: Any) -> np.ndarray:
    """`(n,)` codes from 1, 0 where the value is missing."""
    if kind_of(column) == "category" or column.nunique() <= RANGES:
        return codes_of(column, levels_of(column))
    numbers = numbers_of(column.to_frame(), (column.name,))[:, 0]
    cuts = np.unique(np.nanquantile(numbers, np.linspace(0, 1, RANGES + 1)[1:-1]))
    return np.where(np.isnan(numbers), 0, np.searchsorted(cuts, numbers, side="right") + 1)
