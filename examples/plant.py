"""A chemical plant, simulated: is a run still normal, and if not, which of six faults is it? Judged on runs never seen.

    python examples/plant.py    # the first time some four minutes go by for the simulation, then about two
"""

import numpy as np
import torch
from real_data import plant
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastgpu import Learner

folder = plant.folder()

watch = Learner("autoencoder", folder / "normal_runs.parquet", window=40, stride=10)  # windows of two hours
watch.fit_one_cycle(15)
print(f"anomaly AUROC {watch.evaluate(folder / 'new_runs.parquet')['auroc']:.3f}")

learn = Learner("lstm", folder / "faults", window=40, stride=8, lr=2e-3, validation_split=None)


def means_and_deviations(split):
    """What the baseline gets of the same windows, and their labels."""
    every = torch.arange(learn.data.sizes[split])
    series = learn.data.splits[split].x.gather(every)["series"].numpy()
    return np.concatenate((series.mean(1), series.std(1)), 1), learn.data.splits[split].y.gather(every)["target"].numpy()


baseline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(*means_and_deviations("train"))
learn.fit_one_cycle(6)
print(f"fault accuracy {learn.evaluate('test')['accuracy']:.3f}")
print(f"logistic regression on means and deviations: accuracy {baseline.score(*means_and_deviations('test')):.3f}")
