"""MovieLens 100K: 100,000 ratings, 1 to 5, of 1,682 films by 943 users, with times; features of users, titles of films.

Source: the `recbole` wheel (MIT code), recbole/dataset_example/ml-100k. The ratings are GroupLens's (University of Minnesota):
for research, not to be redistributed (https://files.grouplens.org/datasets/movielens/ml-100k-README.txt), so they stay in
the cache. F. M. Harper and J. A. Konstan, The MovieLens Datasets: History and Context, 2015, https://doi.org/10.1145/2827872.
"""

from pathlib import Path

from real_data.fetch import python_package

__all__ = ["folder"]


def folder() -> Path:
    """Folder with `ml-100k.inter`, `ml-100k.user` and `ml-100k.item`, files of RecBole's, fetched on first use."""
    wheel = python_package("recbole", "1.2.1", "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407")
    return wheel / "recbole" / "dataset_example" / "ml-100k"
