"""Answers: how decoded arrays become the columns of `Results`, without torch. One file a task; `fastgpu.tasks` builds on them, so does the Predictor."""

from fastgpu.answers.base import ANSWERS, Answers

__all__ = ["ANSWERS", "Answers"]
