"""The verb of a Learner that searches settings; it stands apart for length alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastgpu.config import known_keywords

if TYPE_CHECKING:
    from fastgpu.tuning import TuneResult

__all__ = ["SearchVerbs"]


class SearchVerbs:
    """What `Learner` inherits: `tune`."""

    @known_keywords
    def tune(self: Any, space: dict[str, Any], trials: int = 20, max_time: float | None = None, *, epochs: int = 5) -> TuneResult:
        """Search settings with Optuna, and become the learner of the best trial: its weights, settings and history.

        Each trial trains the network as it is now with settings of its own, in a run folder of its own; one that is worse than
        the median of the others after its second epoch, or later, is cut short. Trials are compared by the task's own metric, or its loss. The same
        seed gives the same trials, where `max_time` ends none. Ctrl-C ends the search; then too, and where an error is raised, the learner is the
        best of the trials so far.

        Args:
            space: setting -> a list of choices, `(low, high)`, or `(low, high, "log")`; of `architecture`, `lr`, `optimizer`,
                `weight_decay`, `batch_size`, `schedule` and others.
            trials: trials, at most; a space of choices and whole numbers may have fewer combinations, and none is tried twice.
            max_time: seconds after which the search ends.
            epochs: epochs of a trial.

        Raises:
            UnknownNameError: there is no such setting, or no such choice.
            ArgumentError: a value is not one that the setting takes, the data, or the task; the data have no val split.
            ModelError: a network among the choices does not take the data, or a loss its output.

        Example:
            >>> from fastgpu import Learner
            >>> learn = Learner("mlp", "digits", verbose=False, out=tmp)
            >>> result = learn.tune({"lr": (1e-4, 1e-1, "log"), "optimizer": ["adamw", "sgd"]}, trials=2, epochs=1)
            >>> learn.settings.lr == result.best["lr"], len(learn.history)
            (True, 1)
        """
        from fastgpu.tuning import run_tune

        return run_tune(self, space, trials, max_time, epochs)
