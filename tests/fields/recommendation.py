"""Recommendation: 8 users and 10 items, liked where their numbers are both even or both odd; with times and titles."""

from fields import Field


def ratings(folder):
    import pandas as pd

    folder = folder / "shop"
    folder.mkdir(exist_ok=True)
    rows = [(u, i, 5 if (u + i) % 2 == 0 else 1, 100 * u + (3 * i + 7 * u) % 10) for u in range(1, 9) for i in range(10, 20)]
    pd.DataFrame(rows, columns=["user_id", "item_id", "rating", "timestamp"]).to_csv(folder / "ratings.csv", index=False)
    pd.DataFrame({"item_id": range(10, 20), "title": [f"Film {i}" for i in range(10, 20)]}).to_csv(folder / "items.csv", index=False)
    return folder / "ratings.csv"


def plays(folder):
    import pandas as pd

    return pd.DataFrame([{"user": u, "item": i, "time": i} for u in range(8) for i in range(u % 2, 14, 2)])


def pairs(folder):
    return [{"user_id": 1, "item_id": 11}, {"user_id": 2, "item_id": 12}, {"user_id": 99, "item_id": 12}]


FIELDS = [
    Field(
        name="ranking-plays",
        architecture="sasrec/tiny",
        data=plays,
        items=lambda folder: [(1, 3), (2, 4), (99, 3)],
        task="ranking",
        column="scores",
    ),
    Field(
        name="ranking-ratings",
        architecture="two_tower",
        data=ratings,
        items=pairs,
        task="ranking",
        column="scores",
    ),
    Field(
        name="ranking-deepfm",
        architecture="deepfm",
        data=ratings,
        items=pairs,
        task="ranking",
        column="scores",
        packages=("torch_rechub",),
    ),
]
