"""A process that loads an exported file in the file's own runtime, and runs or times it: `python -m fastgpu.export.worker`.

It imports what that runtime needs and nothing else of this package. Jobs come as lines of JSON on the standard input, answers
go as lines of JSON to the standard output. Arrays travel in `.npz` files.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastgpu.errors import ExportError

__all__ = ["Worker"]


class Worker:
    """The process, seen from the one that started it. A context manager: leaving it ends the process.

    Args:
        load: `"module:function"`, see `fastgpu.export.base.Format`.
        path: the exported file.
        threads: threads that the runtime computes with.

    Raises:
        ExportError: in any call, where the runtime cannot load or run the file.
    """

    def __init__(self, load: str, path: Path, *, threads: int = 1) -> None:
        self.path, self._job = path, {"do": "load", "load": load, "path": str(path), "threads": threads}
        # The child finds modules where this process does, networks of the user's own among them.
        places = os.pathsep.join(dict.fromkeys([str(Path(__file__).parents[2]), *filter(None, sys.path)]))
        limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        self._said = tempfile.TemporaryFile()  # a pipe that nobody reads would fill up
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fastgpu.export.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, **limits, "PYTHONPATH": places},
        )

    def __enter__(self) -> Worker:
        try:
            self._ask(self._job)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._said.close()

    def run(self, batches: Sequence[Mapping[str, np.ndarray]], folder: Path) -> list[dict[str, np.ndarray]]:
        """The outputs of each batch; arrays travel through `folder`."""
        found = []
        for number, batch in enumerate(batches):
            given, made = folder / f"{number}.in.npz", folder / f"{number}.out.npz"
            np.savez(given, **batch)  # type: ignore[arg-type]
            self._ask({"do": "run", "given": str(given), "made": str(made)})
            with np.load(made) as file:
                found.append({name: file[name] for name in file.files})
        return found

    def time(self, given: Path, seconds: float, clock: str = "process_time") -> float:
        """Milliseconds of a call with the batch in an `.npz` file by a clock of `time`, the mean over calls of at least `seconds` in all."""
        return self._ask({"do": "time", "given": str(given), "seconds": seconds, "clock": clock})["ms"]

    def memory(self) -> float | None:
        """The most memory that the process has held, in MB; None where the system does not tell."""
        return self._ask({"do": "memory"})["mb"]

    def _ask(self, job: Mapping[str, Any]) -> dict[str, Any]:
        process: Any = self._process
        try:
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            status = process.wait()
            self._said.seek(0)
            said = self._said.read().decode(errors="replace").strip().splitlines()
            answer = {"error": said[-1] if said else f"the process ended with status {status}"}
        else:
            answer = json.loads(line)
        if "error" in answer:
            reason = answer["error"][:300].rstrip(".")
            raise ExportError(f"{self.path.name} must run in its own runtime. It failed: {reason}. Take another format, or export again.")
        return answer


def _serve() -> None:
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    run: Any = None
    for line in sys.stdin:
        job = json.loads(line)
        try:
            if job["do"] == "load":
                module, _, function = job["load"].partition(":")
                run = getattr(importlib.import_module(module), function)(Path(job["path"]), job["threads"])
                answer: dict[str, Any] = {}
            else:
                answer = _JOBS[job["do"]](run, job)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
        print(json.dumps(answer), file=answers, flush=True)


def _batch(job: Mapping[str, Any]) -> dict[str, np.ndarray]:
    with np.load(job["given"]) as file:
        return {name: file[name] for name in file.files}


def _run(run: Any, job: Mapping[str, Any]) -> dict[str, Any]:
    np.savez(job["made"], **run(_batch(job)))
    return {}


def _time(run: Any, job: Mapping[str, Any]) -> dict[str, Any]:
    batch, calls, clock = _batch(job), 0, getattr(time, job["clock"])
    run(batch)  # what is made at the first call does not count
    began = clock()
    while (spent := clock() - began) < job["seconds"] or not calls:
        run(batch)
        calls += 1
    return {"ms": 1000 * spent / calls}


def _memory(run: Any, job: Mapping[str, Any]) -> dict[str, Any]:
    # The kernel's own figure: resource.getrusage counts what the process was before it became this program.
    status = Path("/proc/self/status")
    if status.exists():
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return {"mb": int(peak.split()[1]) / 1024}
    try:
        import resource
    except ImportError:
        return {"mb": None}
    return {"mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


_JOBS = {"run": _run, "time": _time, "memory": _memory}

if __name__ == "__main__":
    _serve()
