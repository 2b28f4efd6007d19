"""Answers: how decoded arrays become the columns of `Results`, without torch; tasks and the Predictor build on them. One file a task."""

from fastgpu.answers.base import ANSWERS, Answers

__all__ = ["ANSWERS", "Answers"]
