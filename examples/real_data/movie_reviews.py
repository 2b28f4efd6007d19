"""Sentences of film reviews, each with a mood: 5,331 from positive and 5,331 from negative reviews, rated by people.

Source: the source distribution of vaderSentiment 3.3.2 (`additional_resources/hutto_ICWSM_2014.tar.gz`), sentences of Pang and
Lee (2005) rated by twenty people each from -4 to 4 (Hutto and Gilbert, 2014, https://doi.org/10.1609/icwsm.v8i1.14550). MIT licence.
A sentence counts as good above a mean rating of 0.5 and as bad below -0.5. Those between are neither: they are in the
training part alone.
"""

from __future__ import annotations

import csv
import random
import tarfile
from pathlib import Path

from real_data.fetch import making, python_package

MEMBER = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"


def folder() -> Path:
    """Folder with `reviews.csv`: columns `text`, `rating` (-4 to 4) and `split` (500 val, 1,500 test, by a seed)."""
    package = python_package(
        "vaderSentiment", "3.3.2", "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9", source=True
    )
    made = package / "rated_reviews"
    if not made.is_dir():
        archive = next(package.rglob("hutto_ICWSM_2014.tar.gz"))
        with tarfile.open(archive) as opened:
            lines = opened.extractfile(MEMBER).read().decode("utf-8").splitlines()
        ratings = {text: float(rating) for _, rating, text in (line.split("\t") for line in lines)}  # no sentence stands in two splits
        clear = [text for text, rating in ratings.items() if abs(rating) > 0.5]
        random.Random(0).shuffle(clear)
        splits = {text: "val" if i < 500 else "test" if i < 2000 else "train" for i, text in enumerate(clear)}
        with making(made) as partial, (partial / "reviews.csv").open("w", newline="", encoding="utf-8") as file:
            write = csv.writer(file).writerow
            write(("text", "rating", "split"))
            for text, rating in ratings.items():
                write((text, rating, splits.get(text, "train")))
    return made
