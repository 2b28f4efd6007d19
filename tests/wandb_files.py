"""Reads what the W&B client wrote: frames of a LevelDB log, in each a record of its own protocol."""

from __future__ import annotations

import json
import struct
import time

BLOCK, HEADER = 32768, 7


def records(path):
    """The records in a `.wandb` file."""
    from wandb.proto import wandb_internal_pb2 as pb

    data = path.read_bytes()
    assert data[:4] == b":W&B"
    at, parts = HEADER, []
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:  # too little is left of a block for a frame
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + HEADER])
        if not kind or at + HEADER + length > len(data):  # it is being written
            break
        parts.append(data[at + HEADER : at + HEADER + length])
        at += HEADER + length
        if kind in (1, 4):  # whole, or last of several
            record = pb.Record()
            record.ParseFromString(b"".join(parts))
            parts = []
            yield record


class Part:
    """One `.wandb` file: a run from one beginning to its end."""

    def __init__(self, path):
        self.folder, self.rows, self.config, self.summary = path.parent, [], {}, {}
        self.metrics, self.artifacts, self.exit_code, self.run = {}, [], None, None
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.run = record.run
                self.config |= _items(record.run.config.update)
            elif kind == "config":
                self.config |= _items(record.config.update)
            elif kind == "history":
                self.rows.append(_items(record.history.item))
            elif kind == "summary":
                self.summary |= _items(record.summary.update)
            elif kind == "metric":
                self.metrics[record.metric.name] = record.metric.step_metric
            elif kind == "request" and record.request.WhichOneof("request_type") == "log_artifact":
                self.artifacts.append(record.request.log_artifact.artifact)
            elif kind == "artifact":
                self.artifacts.append(record.artifact)
            elif kind == "exit":
                self.exit_code = record.exit.exit_code

    def column(self, key):
        """Values of a key over the rows that have it."""
        return [row[key] for row in self.rows if key in row]


def parts(folder, killed=0):
    """All parts of the runs in a run folder, oldest first; the client writes from a process of its own, which is waited for.

    Args:
        folder: the run folder.
        killed: parts whose process was killed, so that they have no end.
    """
    waited = time.monotonic() + 60
    while True:
        files = sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.parent.stat().st_ctime_ns)
        found = sorted((Part(path) for path in files), key=lambda part: part.run.start_time.ToNanoseconds() if part.run else 0)
        begun = len(list(folder.glob("wandb/offline-run-*")))
        if len(found) == begun and sum(part.exit_code is None for part in found) <= killed:
            return found
        assert time.monotonic() < waited, f"{folder} holds a run without an end"
        time.sleep(0.1)


def _items(items):
    """Keys and values of a record; what has a nested key becomes nested dicts."""
    found = {}
    for item in items:
        *path, last = item.nested_key or [item.key]
        at = found
        for key in path:
            at = at.setdefault(key, {})
        at[last] = json.loads(item.value_json)
    return found
