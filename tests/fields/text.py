"""Texts with a class each, by a network of transformers."""

from __future__ import annotations

import random

import pandas as pd

from fields import Field

GOOD, BAD = ("lovely", "fine", "bright", "great"), ("dull", "poor", "sad", "grim")


def reviews(folder=None):
    """60 short reviews, good and bad."""
    draw = random.Random(0)
    moods = [("good", GOOD), ("bad", BAD)] * 30
    rows = [(f"a {draw.choice(words)} film with a {draw.choice(words)} end", label) for label, words in moods]
    return pd.DataFrame(rows, columns=["text", "label"])


FIELDS = [
    Field(
        name="sentiment",
        architecture="bert/tiny",
        data=reviews,
        items=lambda folder: ["a lovely film", "a grim end", "a film"],
        task="classification",
        column="labels",
        packages=("transformers",),
    )
]
