"""Texts with their translations."""

from __future__ import annotations

import itertools

from fields import Field

COLOURS = {"red": "rot", "green": "grün", "blue": "blau", "black": "schwarz"}
THINGS = {"house": "Haus", "tree": "Baum", "car": "Auto", "dog": "Hund"}


def phrases():
    """64 pairs of an English and a German phrase."""
    several = itertools.product(COLOURS.items(), THINGS.items(), ("is", "was", "is not", "was not"))
    verbs = {"is": "ist", "was": "war", "is not": "ist nicht", "was not": "war nicht"}
    return [(f"The {thing} {verb} {colour}.", f"{ding} {verbs[verb]} {farbe}.") for (colour, farbe), (thing, ding), verb in several]


def table(folder):
    """A file of tab-separated pairs."""
    path = folder / "en-de.tsv"
    path.write_text("source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in phrases()), encoding="utf-8")
    return path


FIELDS = [
    Field(
        name="translation",
        architecture="marian/tiny",
        data=table,
        items=lambda folder: ["The house is red.", "The dog was not blue.", "The car is black."],
        task="translation",
        column="texts",
        packages=("transformers",),
    )
]
