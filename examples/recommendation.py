"""MovieLens 100K: who likes what (AUC), and each user's last film among all that they have not seen (HR@10, NDCG@10).

    python examples/recommendation.py

Liked or not: a rating of 4 or 5, learnt from the first 80 % of each user's ratings by time, judged on the rest.
Full ranking: every rating is a like; each user's last film is the test, the one before it chooses the epoch, the others
are learnt from. All films that the user has not met in training are ranked. Popularity: the films most often rated there.
"""

import numpy as np
import pandas as pd
from real_data.movielens import folder

from fastgpu import Learner

learn = Learner("two_tower", folder(), batch_size=512, name="likes")
learn.fit(5)
print(f"AUC {learn.evaluate()['auroc']:.3f}")
print(learn.recommend(user=42, k=5).to_frame())

table = pd.read_csv(folder() / "ml-100k.inter", sep="\t").rename(columns=lambda name: name.split(":")[0])
table = table.sort_values(["user_id", "timestamp"], kind="stable")
left = table.groupby("user_id").cumcount(ascending=False)
table["split"] = np.where(left == 0, "test", np.where(left == 1, "val", "train"))
settings = {"positive": 1, "batch_size": 1024, "lr": 1e-2, "weight_decay": 0.1, "name": "last-film"}
ranker = Learner("matrix_factorization", table, **settings)
ranker.fit(20)
judged = ranker.evaluate("test")

train, test = table[table.split == "train"], table[table.split == "test"]
counts, seen = train.item_id.value_counts(), train.groupby("user_id").item_id.agg(set)
ranks = [(counts.drop(seen[u] - {i}) >= counts.get(i, 0)).sum() if i in counts else 10_000 for u, i in zip(test.user_id, test.item_id)]
ranks = np.array(ranks)
print(f"popularity            HR@10 {(ranks <= 10).mean():.3f}  NDCG@10 {np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0).mean():.3f}")
print(f"matrix_factorization  HR@10 {judged['hr@10']:.3f}  NDCG@10 {judged['ndcg@10']:.3f}")
