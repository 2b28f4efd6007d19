"""Sentiment: a small BERT learns from random weights how twenty people rated sentences of film reviews, -4 to 4.

    python examples/sentiment.py    # about five minutes on a CPU

Above 0 a sentence is good, below it is bad. The ratings teach more than the signs alone do: they tell a good sentence from a
splendid one, and sentences that are neither from both.
"""

import numpy as np
import pandas as pd
from real_data import movie_reviews

from fastgpu import Learner

reviews = pd.read_csv(movie_reviews.folder() / "reviews.csv")
learn = Learner("bert/mini", reviews[reviews.split != "test"], target="rating", batch_size=32, lr=3e-4)
learn.fit(4, schedule="one_cycle")

print(learn.predict(["A gorgeous, moving film.", "Dull, and far too long."]).to_frame())
for split, what in (("val", "500 by which the epoch was chosen"), ("test", "1,500 sentences never seen")):
    rows = reviews[reviews.split == split]
    right = np.sign(learn.predict(rows.text.tolist()).values) == np.sign(rows.rating)
    print(f"on {what}: accuracy {right.mean():.3f}")
