"""A table with numbers, categories and gaps: a regression, saved and loaded again.

    python examples/table.py
"""

import numpy as np
import pandas as pd

from fastgpu import Learner

rng = np.random.default_rng(0)
n = 2000
rooms, town = rng.integers(1, 8, n), rng.choice(["Ulm", "Bonn", "Kiel"], n)
age = rng.uniform(0, 90, n)
rent = 150 * rooms + np.where(town == "Bonn", 250, 0) - 2 * age + rng.normal(0, 40, n)
age[rng.random(n) < 0.1] = np.nan  # unknown for one in ten
flats = pd.DataFrame({"rooms": rooms, "town": town, "age": age, "rent": rent})

learn = Learner("table_resnet/small", flats, target="rent", metrics=["mae", "r2"])
learn.fit_one_cycle(10)
learn.save("rent.safetensors")

again = Learner.load("rent.safetensors")
print(again.predict([{"rooms": 3, "town": "Bonn", "age": 10}, {"rooms": 3, "town": "Kiel", "age": None}]).to_frame())
