"""MLflow, from the extra `mlflow`: a database and files of its own in the run's folder, or the server that the environment names."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import MLFlowLogger

from fastgpu.callbacks.trackers.base import INTERRUPTED, TRACKERS, Tracker
from fastgpu.optional import require

STATES = {0: "FINISHED", INTERRUPTED: "KILLED"}
"""Exit code -> MLflow's word; any other code is a failure."""


class MLflow(Tracker, MLFlowLogger):
    """Lightning's logger, whose run goes on over several fits, with steps, pictures, the best weights and compression reports."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._options = options
        self._begun: str | None = None  # id of the run, once there is one

    def begin(self, folder: Path, facts: Mapping[str, Any]) -> None:
        client = self.experiment
        self._begun = self.run_id
        run = client.get_run(self.run_id)
        if run.info.status != "RUNNING":
            client.update_run(self.run_id, "RUNNING")
        if self.group:
            client.set_tag(self.run_id, "group", self.group)
        # A parameter is written once; those of a second fit are those of the run.
        asked = _flat({name: value for name, value in facts.items() if name != "environment"})
        self.log_hyperparams({name: value for name, value in asked.items() if name not in run.data.params})
        client.log_dict(self.run_id, dict(facts["environment"]), "env.json")

    def log_step(self, row: Mapping[str, float], step: int) -> None:
        self.log_metrics({f"step/{key}": value for key, value in row.items()}, step)

    def log_best(self, row: Mapping[str, float], key: str) -> None:
        self.log_metrics({"best/epoch": row["epoch"], f"best/{key}": row[key]}, int(row["epoch"]))

    def log_fit(self, interpretation: Any, folder: Path) -> None:
        for file in sorted(folder.glob("*.png")):
            self.experiment.log_artifact(self.run_id, str(file), "pictures")
        if (folder / "checkpoints" / "best").is_file():
            self.experiment.log_artifact(self.run_id, str(folder / "checkpoints" / "best"), "model")

    def log_report(self, report: Any) -> None:
        self.experiment.log_text(self.run_id, str(report), "compression/report.txt")
        self.experiment.log_dict(self.run_id, report.to_dict(), "compression/report.json")

    def finalize(self, status: str = "success") -> None:
        """Nothing: Lightning calls it before the pictures are there; `end` says how the fit ended."""

    def end(self, exit_code: int) -> None:
        if self._begun is not None:
            self.experiment.set_terminated(self._begun, STATES.get(exit_code, "FAILED"))

    def state_dict(self) -> dict[str, Any]:
        return {"id": self._begun, "uri": self._options["tracking_uri"]} if self._begun else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        # In another store there is no such run.
        if state["uri"] == self._options["tracking_uri"] and state["id"] != self._begun:
            super().__init__(**self._options, run_id=state["id"])


def _flat(facts: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested facts under the names that Lightning gives them in MLflow: `data_facts/sizes/train`."""
    found: dict[str, Any] = {}
    for name, value in facts.items():
        found |= _flat(value, f"{before}{name}/") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return found


@TRACKERS.register("mlflow")
def mlflow(folder: Path, settings: dict[str, Any]) -> Any:
    """A logger that writes to `<run>/mlflow/`, or to `$MLFLOW_TRACKING_URI`."""
    for package in ("mlflow", "sqlalchemy", "alembic"):
        require(package, need="The logger 'mlflow'", extra="mlflow")
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it tells of each table that it makes
    server = os.environ.get("MLFLOW_TRACKING_URI")
    place = (folder / "mlflow").absolute()
    if not server:
        (place / "artifacts").mkdir(parents=True, exist_ok=True)
    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", "fastgpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SQLAlchemy's, about MLflow's own tables
        return MLflow(
            experiment_name=experiment,
            run_name=folder.name,
            tracking_uri=server or f"sqlite:///{place / 'mlflow.db'}",
            artifact_location=None if server else (place / "artifacts").as_uri(),
        )
