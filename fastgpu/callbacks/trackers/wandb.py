"""Weights & Biases: one run a training, finished at the end of each fit and taken up again by the next; never a prompt."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from lightning.pytorch.loggers import Logger

from fastgpu.callbacks.trackers.base import TRACKERS, Tracker
from fastgpu.config import plain
from fastgpu.console import unbroken
from fastgpu.errors import ArgumentError

__all__ = ["WandBLogger", "wandb"]

PATIENCE = 30
"""Seconds that a server has to answer when a run begins; after them the run stays on the disk."""

LOCAL_PATIENCE = 120
"""Seconds that wandb's own process has, which on a laden machine is slow: without it nothing is recorded."""

FORBIDDEN = "/\\#?%:"
LONGEST = 128


class WandBLogger(Tracker, Logger):
    """A Lightning logger around one run of Weights & Biases; `fastgpu.callbacks.WandB` makes it and says what its arguments are."""

    def __init__(
        self,
        project: str | None = None,
        *,
        entity: str | None = None,
        name: str | None = None,
        group: str | None = None,
        tags: tuple[str, ...] = (),
        mode: str | None = None,
        log_model: str | None = "best",
        predictions: int = 36,
        every: int = 50,
    ) -> None:
        super().__init__()
        self.options = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self.group = group
        self.every, self.log_model, self.predictions = every, log_model, predictions
        self.project, self._mode, self.shared = _project(project), mode, {}
        self._asked = {"entity": entity, "tags": list(tags) or None}
        self._name = name
        self._folder: Path | None = None
        self._run: Any = None
        self._id: str | None = None  # of the run that training goes on in
        self._borrowed = False  # a run that the user opened is the user's to finish
        self._config: dict[str, Any] = {}
        self._keys: set[str] = set()  # those with an axis of their own
        self._best: dict[str, float] = {}
        self._parts: list[str] = []  # folders of the run's parts on the disk: each fit adds one

    # What Lightning asks

    @property
    def name(self) -> str:
        return self.project

    @property
    def version(self) -> str | None:
        return self._id

    @property
    def save_dir(self) -> str | None:
        return str(self._folder) if self._folder else None

    @property
    def experiment(self) -> Any:
        """The `wandb.Run`; one that was finished goes on."""
        if self._run is None:
            self._run = self._begin()
        return self._run

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self._config |= plain(dict(params) if isinstance(params, Mapping) else vars(params))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        # A row of the history has its epoch's seconds; what Lightning logs by itself belongs to a step.
        self._log({**metrics, "step": step}, axis="epoch" if "seconds" in metrics else "step")

    # What a tracker gets

    def anew(self) -> WandBLogger:
        return WandBLogger(**self.options)

    def begin(self, folder: Path, facts: Mapping[str, Any]) -> None:
        if self._folder not in (None, folder):
            self._id, self._parts = None, []  # another training than that of the last fit
        self._folder = folder
        self._config |= facts
        run = self.experiment
        if self._borrowed:
            run.config.update(self._config, allow_val_change=True)

    def log_step(self, row: Mapping[str, float], step: int) -> None:
        self._log({**{f"step/{key}": value for key, value in row.items()}, "step": step}, axis="step")

    def log_best(self, row: Mapping[str, float], key: str) -> None:
        self._best = dict(row)
        self.experiment.summary.update({"best/epoch": row["epoch"], f"best/{key}": row[key]})

    def log_fit(self, interpretation: Any, folder: Path) -> None:
        from fastgpu.callbacks.trackers.wandb_media import charts, pictures, tables

        found = {**pictures(folder), **({} if interpretation is None else charts(interpretation))}
        if interpretation is not None and self.predictions:
            found |= tables(interpretation, self.predictions)
        if found:
            self.experiment.log(found)
        self._keep_models(folder / "checkpoints")

    def log_report(self, report: Any) -> None:
        from fastgpu.callbacks.trackers.wandb_media import report_table

        between_fits = self._run is None
        self.experiment.log({"compression/report": report_table(report)})
        last = {f"compression/{key}": value for key, value in report.steps[-1].items() if isinstance(value, (int, float))}
        self.experiment.summary.update({**last, "compression/notes": list(report.notes)})
        if between_fits:
            self.end(0)

    def end(self, exit_code: int) -> None:
        run, self._run = self._run, None
        if run is not None and not self._borrowed:
            run.finish(exit_code=exit_code)
            if run.offline:
                _wait_for(Path(run.settings.sync_file))

    def state_dict(self) -> dict[str, Any]:
        return {"id": self._id, "parts": list(self._parts)} if self._id else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._id, self._parts, self._folder = state["id"], list(state["parts"]), None  # it goes on, in whatever folder

    # The run

    def _begin(self) -> Any:
        import wandb
        from wandb.errors import AuthenticationError, CommError

        self._keys = set()
        if "WANDB__SERVICE_WAIT" not in os.environ:
            wandb.setup(wandb.Settings(x_service_wait=LOCAL_PATIENCE))
        opened = wandb.run
        self._borrowed = opened is not None and self._id in (None, opened.id)
        if opened is not None and self._borrowed:
            self._id = opened.id
            return opened
        mode = self._mode or os.environ.get("WANDB_MODE") or "online"
        if mode in ("online", "shared") and (self.shared.get("wandb_offline") or not _has_key(wandb)):
            mode = "offline"  # without a key, online would ask for one
        try:
            run = self._init(wandb, mode)
        except (AuthenticationError, CommError) as error:
            self._say(f"the server cannot be used: {str(error).splitlines()[0]}")
            mode = "offline"
            self.shared["wandb_offline"] = True  # neither the next fit nor the next trial need wait for it again
            run = self._init(wandb, mode)
        self._id = run.id
        self._announce(run, mode)
        return run

    def _init(self, wandb: Any, mode: Any) -> Any:
        patience = {} if "WANDB_INIT_TIMEOUT" in os.environ else {"init_timeout": LOCAL_PATIENCE if mode == "offline" else PATIENCE}
        swept = bool(os.environ.get("WANDB_SWEEP_ID"))  # the agent has chosen project and id
        place = {} if swept else {"project": self.project, "id": self._id, "group": self.group, **self._asked}
        return wandb.init(
            **place,
            name=self._name or (self._folder.name if self._folder else None),
            # wandb's own process, which child processes share, may have been started in another folder.
            dir=self._folder.absolute() if self._folder else None,
            config=self._config,
            mode=mode,
            resume="allow",
            reinit="create_new",  # one process may train several learners: each has a run of its own
            settings=wandb.Settings(silent=True, **patience),
        )

    def _announce(self, run: Any, mode: str) -> None:
        if mode == "offline":
            folder, here = Path(run.dir).parents[1], Path.cwd()
            self._announce_part(run.id, folder.relative_to(here) if folder.is_relative_to(here) else folder)
        elif mode == "online" and not self._parts:
            self._parts.append(run.url or run.id)
            if self.announces:
                self._say(run.url)

    def _announce_part(self, name: str, folder: Path) -> None:
        part = f"{shlex.quote(str(folder))}/offline-run-*{name}*"
        if part in self._parts:
            return
        self._parts.append(part)
        if self.group == self.options["group"]:
            self._say(f"the run stays on the disk; to upload it: wandb sync --id {name} {' '.join(self._parts)}")
        elif self.announces:  # the first of a search
            every = f"{shlex.quote(str(folder.parents[1]))}/*/wandb/offline-run-*"
            self._say(f"the runs of {self.group} stay on the disk; to upload them: wandb sync {every}")

    def _say(self, line: str) -> None:
        with unbroken():
            print(f"wandb: {line}", flush=True)

    def _log(self, row: Mapping[str, Any], axis: str) -> None:
        run = self.experiment
        for key in row.keys() - self._keys - {"epoch", "step"}:
            run.define_metric(key, step_metric=axis)
            self._keys.add(key)
        # Never wandb's own step=: it has to grow with every call, and that of a fit that goes on need not.
        run.log({key: value for key, value in row.items() if value is not None})

    def _keep_models(self, checkpoints: Path) -> None:
        """The best weights as an artifact, and with `log_model="all"` the last, with what training needs to go on."""
        import wandb

        epoch = int(self._best.get("epoch", 0))
        kinds = {"best": ("best",), "all": ("best", "last")}.get(self.log_model or "", ())
        for kind in kinds:
            file = checkpoints / kind
            if not file.is_file():
                continue
            artifact = wandb.Artifact(f"model-{self._id}", type="model", metadata={"epoch": epoch, **self._best} if kind == "best" else {})
            artifact.add_file(str(file), name="model.safetensors" if kind == "best" else "last.safetensors")
            newest = kind == kinds[-1]
            aliases = [kind] if kind == "last" else ["best", f"epoch-{epoch}"]
            self.experiment.log_artifact(artifact, aliases=[*aliases, *(["latest"] if newest else [])])


@TRACKERS.register("wandb")
def wandb(folder: Path, settings: dict[str, Any]) -> Any:
    """A logger with a run of its own; without a key the run stays on disk, in `<run>/wandb/`."""
    return WandBLogger()


def _project(given: str | None) -> str:
    name = given or os.environ.get("WANDB_PROJECT") or "fastgpu"
    strange = [sign for sign in FORBIDDEN if sign in name]
    if strange or len(name) > LONGEST:
        came = f"{name[:40]!r} came, with {strange[0]!r}" if strange else f"{len(name)} signs came"
        raise ArgumentError(f"A project of Weights & Biases has at most {LONGEST} signs, none of {FORBIDDEN}. {came}. Choose another project.")
    return name


def _wait_for(file: Path, seconds: float = 5.0) -> None:
    """wandb's own process may write the file a moment after the run is finished; who then looks for it shall find it."""
    until = time.monotonic() + seconds
    while not file.is_file() and time.monotonic() < until:
        time.sleep(0.01)


def _has_key(wandb: Any) -> bool:
    """Whether there are credentials, by anything that wandb itself would use but a prompt."""
    from netrc import NetrcParseError, netrc

    settings = wandb.setup().settings
    if settings.api_key or any(os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")):
        return True
    hosts = {urlparse(settings.base_url).hostname, "api.wandb.ai"}
    for file in (os.environ.get("NETRC"), "~/.netrc", "~/_netrc"):
        try:
            if file and hosts & set(netrc(Path(file).expanduser()).hosts):
                return True
        except (OSError, NetrcParseError):
            continue
    return False
