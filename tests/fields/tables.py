"""Tables: numbers with gaps and a category, by the authors' networks."""

from fields import Field


def flats(folder):
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    rooms, town = rng.integers(1, 8, 60), rng.choice(["Ulm", "Bonn", "Kiel"], 60)
    age = np.where(rng.random(60) < 0.1, np.nan, rng.uniform(0, 90, 60))
    table = pd.DataFrame({"rooms": rooms, "town": town, "age": age, "rent": 150 * rooms + rng.normal(0, 9, len(town))})
    table.to_csv(folder / "flats.csv", index=False)
    return folder / "flats.csv"


def rows(folder):
    return [{"rooms": 3, "town": "Bonn", "age": 10.0}, {"rooms": 3, "town": "Paris", "age": None}, {"rooms": 1, "town": None, "age": 1}]


def named(folder):
    return [{"rooms": 3, "rent": 400.0, "age": 10.0}, {"rooms": 3, "rent": 650.0, "age": None}, {"rooms": 1, "rent": 0.0, "age": 1}]


FIELDS = [
    Field(
        name="tables-ft_transformer",
        architecture="ft_transformer/tiny",
        data=flats,
        items=rows,
        task="regression",
        column="values",
        packages=("rtdl_revisiting_models",),
        settings={"target": "rent"},
    ),
    Field(
        name="tables-tabm",
        architecture="tabm/tiny",
        data=flats,
        items=named,
        task="classification",
        column="probabilities",
        packages=("tabm",),
        settings={"target": "town"},
    ),
]
