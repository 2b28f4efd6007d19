"""FT-Transformer and TabM on scikit-learn's tables: through Learner, and the authors' packages in a plain loop.

    python examples/tables.py

Same settings in both: 20 epochs of AdamW, rate 0.001, batches of 32, the last weights. The mean over five splits and
seeds, a quarter held out: error in per cent (breast_cancer, wine), mean absolute error (diabetes). Less is better.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.model_selection import train_test_split
from tables_plain import plain_loop

from fastgpu import Learner

SETTINGS = {"batch_size": 32, "lr": 1e-3}

def error(predicted, y, classes):
    return 100 * float(np.mean(predicted != y)) if classes else float(np.mean(np.abs(predicted - y)))


def errors(name, load, seed):
    data = load()
    classes = len(data.target_names) if "target_names" in data else 0
    x, x_test, y, y_test = train_test_split(data.data, data.target, test_size=0.25, random_state=seed, stratify=data.target if classes else None)
    if name == "gradient boosting":
        boosting = (HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor)(random_state=seed)
        return (error(boosting.fit(x, y).predict(x_test), y_test, classes),)
    learn = Learner(name, (x, y), **SETTINGS, weight_decay=0.01, seed=seed, validation_split=None, verbose=False)
    learn.fit(20)
    predicted = learn.predict(x_test)
    ours = np.array(predicted.labels) if classes else predicted.values
    return error(ours, y_test, classes), error(plain_loop(name, x, y, x_test, classes, epochs=20, seed=seed, **SETTINGS), y_test, classes)


for load in (load_breast_cancer, load_wine, load_diabetes):
    for name in ("ft_transformer/tiny", "tabm/tiny", "gradient boosting"):
        found = np.mean([errors(name, load, seed) for seed in range(5)], 0)
        print(f"{load.__name__[5:]:<14} {name:<20} " + "  ".join(f"{who} {v:6.2f}" for who, v in zip(("", "plain loop"), found)), flush=True)
