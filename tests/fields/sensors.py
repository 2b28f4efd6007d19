"""Sensor series: which class, which number, how far from normal; and rows of a table for the last."""

import numpy as np
import pandas as pd

from fields import Field


def wave(seed: int, kind: int, steps: int = 24) -> np.ndarray:
    """A run of two channels: slow or fast, with some noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(steps)
    return np.stack([np.sin(time * (0.3 + 0.5 * kind) + rng.uniform(0, 6)), np.cos(time * 0.3)], 1) + rng.normal(0, 0.1, (steps, 2))


def folder(path):
    """One folder a class, one CSV a run."""
    for kind, name in enumerate(("slow", "fast")):
        place = path / "vibration" / name
        place.mkdir(parents=True, exist_ok=True)
        for i in range(20):
            pd.DataFrame(wave(i + 100 * kind, kind), columns=["x", "y"]).to_csv(place / f"{i:02}.csv", index=False)
    return path / "vibration"


def numbers(path):
    """Series with the frequency to be told."""
    x = np.stack([wave(i, i / 20) for i in range(40)])
    return x, np.linspace(0.3, 1.3, 40)


def normal_runs(path):
    """Runs with a unit and a time, all normal but the last three."""
    rows = [
        pd.DataFrame({"unit": i, "time": np.arange(60.0), "label": int(i > 8)}).assign(
            **dict(zip("xy", wave(i, int(i > 8), 60).T))
        )
        for i in range(12)
    ]
    file = path / "runs.parquet"
    pd.concat(rows).to_parquet(file, index=False)
    return file


def rows(path):
    """A table without targets."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(80, 2))
    return pd.DataFrame({"a": base[:, 0], "b": base[:, 1], "sum": base.sum(1), "site": rng.choice(["north", "south"], 80)})


FIELDS = [
    Field(
        name="sensors",
        architecture="patchtst/tiny",
        data=folder,
        items=lambda path: [str(path / "vibration" / "slow" / f"{i:02}.csv") for i in range(3)],
        task="classification",
        column="probabilities",
        packages=("transformers",),
    ),
    Field(
        name="sensors_number",
        architecture="lstm/small",
        data=numbers,
        items=lambda path: numbers(path)[0][:3],
        task="regression",
        column="values",
        settings={"task": "regression"},
    ),
    Field(
        name="sensors_anomaly",
        architecture="autoencoder",
        data=normal_runs,
        items=lambda path: wave(7, 1, 60),
        task="anomaly",
        column="scores",
        packages=("pyarrow",),
        settings={"window": 16, "stride": 8},
    ),
    Field(
        name="table_anomaly",
        architecture="autoencoder",
        data=rows,
        items=lambda path: rows(path).head(3),
        task="anomaly",
        column="scores",
    ),
]
