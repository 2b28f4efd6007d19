"""Tasks: what the target means, its loss, metrics and decoding, and how a result is drawn. One file a task."""

from fastgpu.tasks.base import TASKS, Task

__all__ = ["TASKS", "Task"]
