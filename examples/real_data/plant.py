"""Simulated runs of the Tennessee Eastman chemical plant under closed-loop control, normal and with six seeded faults.

Source: the simulator of the Python package tep-studio 0.2.0 (BSD-3; plant of Downs and Vogel, 1993, control of Ricker, 1996). Its
source distribution is compiled here, which needs a C compiler; then some three minutes of simulation.

`faults/train.parquet` and `faults/test.parquet` hold whole runs of 8 hours, a row each 3 minutes: `run`, `time` (hours), 41
measurements, 12 valves, and `fault`, "normal" until the fault sets in. `normal_runs.parquet` holds the normal training runs without
that column, `new_runs.parquet` the test runs, where `fault` is 0 or 1.
"""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from real_data.fetch import Unreachable, cache, making, python_package

SHA256 = "2a9fbcd2e7b8ea97e98d7f4cf2b455e5fc831f4c8f5dd3570bafbd2235c3b8c3"
NEEDS = {
    "cffi": "cffi",
    "_cffi_backend": "cffi",
    "pycparser": "pycparser",
    "scipy": "scipy",
    "gymnasium": "gymnasium",
    "cloudpickle": "cloudpickle",
    "farama_notifications": "farama-notifications",
}
FAULTS = {1: "feed_ratio", 2: "feed_inert", 4: "cooling_water", 8: "feed_random", 12: "condenser_random", 13: "kinetics_drift"}
RUNS = {"train": (40, 20), "test": (20, 10)}
"""Split -> normal runs, and runs of each fault."""

HOURS, STEP, EVERY = 8.0, 0.005, 10
"""Length of a run, of a control step, both in hours, and how many of these go by from one row to the next."""


def folder() -> Path:
    """The folder with the four files, made on first use."""
    place = cache() / "plant-1"
    if place.is_dir():
        return place
    with making(place) as partial:
        (partial / "faults").mkdir(parents=True)
        simulate = _simulator()
        for number, (split, (normal, faulty)) in enumerate(RUNS.items()):
            wanted = [0] * normal + [fault for fault in FAULTS for _ in range(faulty)]
            runs = [simulate(f"{split}-{i:03}", fault, seed=10_000 * number + i) for i, fault in enumerate(wanted)]
            frame = pd.concat(runs, ignore_index=True)
            frame.to_parquet(partial / "faults" / f"{split}.parquet", index=False)
            if split == "train":
                names = [run.run.iloc[0] for run in runs[:normal]]
                frame[frame.run.isin(names)].drop(columns="fault").to_parquet(partial / "normal_runs.parquet", index=False)
            else:
                new = frame.assign(fault=(frame.fault != "normal").astype(int))
                new.to_parquet(partial / "new_runs.parquet", index=False)
    return place


def _simulator():
    """A function (name, fault, seed) -> the rows of one run."""
    sys.path.insert(0, str(_built()))
    try:
        tep = importlib.import_module("tep_studio")
    except ImportError as error:
        raise Unreachable(f"tep-studio was built, but does not import: {error}") from error
    finally:
        sys.path.pop(0)
    columns = [name for name, *_ in (*tep.list_measurements(), *tep.list_manipulated_variables())]

    def simulate(name: str, fault: int, seed: int) -> pd.DataFrame:
        onset = np.random.default_rng(seed).uniform(1.0, 3.0)
        disturbance = np.zeros(28)
        if fault:
            disturbance[fault - 1] = 1.0
        done = tep.ClosedLoopSimulation(horizon=HOURS, control_interval=STEP).run(
            seed=seed + 1, disturbance_schedule=lambda hour: disturbance * (hour > onset), record_every=EVERY
        )
        time = np.array([row.time for row in done.results])
        table = np.stack([np.concatenate((row.measurements, row.implemented_action)) for row in done.results])
        frame = pd.DataFrame(table.astype(np.float32), columns=columns)
        frame.insert(0, "run", name)
        frame.insert(1, "time", time.round(4))
        frame["fault"] = np.where((time > onset) & (fault > 0), FAULTS.get(fault, ""), "normal")
        return frame

    return simulate


def _built() -> Path:
    """Folder with tep-studio, compiled for this Python, and those of its packages that are not installed."""
    place = cache() / f"tep-studio-0.2.0-{sys.implementation.cache_tag}"
    if place.is_dir():
        return place
    source = python_package("tep-studio", "0.2.0", SHA256, source=True) / "tep_studio-0.2.0"
    lacking = sorted({name for module, name in NEEDS.items() if importlib.util.find_spec(module) is None})
    with making(place) as partial:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(partial), str(source), *lacking]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise Unreachable(f"tep-studio cannot be built (it needs a C compiler): {reason}")
    return place
