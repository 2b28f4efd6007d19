"""Texts with a class each: a tokenizer is trained on them, then a small transformer.

    python examples/text.py
"""

import random

import pandas as pd

from fastgpu import Learner

random.seed(0)
things = ["film", "meal", "walk", "book", "talk", "song"]
words = {"good": ["lovely", "fine", "bright", "great"], "bad": ["dull", "poor", "sad", "grim"]}


def phrase(label: str) -> str:
    return f"{random.choice(words[label])} {random.choice(things)}"


rows = [(f"what a {phrase(label)} and a {phrase(label)}", label) for label in words for _ in range(300)]
reviews = pd.DataFrame(rows, columns=["text", "label"])

learn = Learner("text_encoder/mini", reviews)
learn.fit(3)
print(learn.predict(["a lovely walk", "what a grim book"]).to_frame())
