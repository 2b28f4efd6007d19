"""What a network gets right and wrong: `learn.interpret()` gives an `Interpretation` of the task's kind.

Plain numbers in NumPy arrays, tables as pandas DataFrames, pictures as matplotlib Figures. Nothing here knows Lightning.
"""

from fastgpu.interpretation.base import Interpretation
from fastgpu.interpretation.classes import ClassInterpretation
from fastgpu.interpretation.items import SeenItems
from fastgpu.interpretation.labels import LabelInterpretation
from fastgpu.interpretation.numbers import NumberInterpretation

__all__ = ["KINDS", "ClassInterpretation", "Interpretation", "LabelInterpretation", "NumberInterpretation", "SeenItems"]

KINDS: dict[str, type[Interpretation]] = {
    "classification": ClassInterpretation,
    "multilabel": LabelInterpretation,
    "regression": NumberInterpretation,
}
"""Task -> what interprets it."""
