"""Distilling with the Learner: what is reported, and where."""

from __future__ import annotations

import lightning.pytorch as pl
import pytest
from torch import nn

from fastgpu.callbacks.trackers.base import Tracker
from fastgpu.compress.report import CompressionReport
from fastgpu.errors import ArgumentError


class Told(Tracker, pl.loggers.CSVLogger):
    """Keeps the reports that it is told."""

    def __init__(self, folder):
        super().__init__(folder)
        self.reports = []

    def log_report(self, report):
        self.reports.append(report)


def test_the_report(make, tmp_path):
    teacher, tracker = make("mlp/large", lr=1e-2), Told(tmp_path / "told")
    teacher.fit(3)
    before = teacher.evaluate()["accuracy"]
    learn = make("mlp", lr=1e-2, logger=tracker, report=True)
    report = learn.distill(teacher, 2)
    assert isinstance(report, CompressionReport)
    first, last = report.steps
    assert (first["step"], last["step"]) == ("as it came", "distilled")
    assert last["accuracy"] > first["accuracy"] + 0.3
    assert last["accuracy"] == pytest.approx(learn.evaluate()["accuracy"])
    assert first["parameters"] == last["parameters"] == 9610
    assert {"macs", "size_kb", "latency_1_ms", "latency_32_ms", "threads"} <= set(last)
    assert report.notes == [f"the teacher's own accuracy on the same items: {before:.4f}"]
    assert learn.compression_reports == tracker.reports == [report]
    assert len(learn.history) == 2
    page = (learn.run_dir / "report.html").read_text()
    assert "distilled" in page
    assert teacher.evaluate()["accuracy"] == before


def test_a_teacher_that_cannot_be_judged(make):
    class Picky(nn.Linear):
        """Takes the batches of training, 60, 60, 60 and 20 items, and not the 100 that are judged."""

        def forward(self, x):
            if len(x) not in (2, 60, 20):
                raise RuntimeError("no such\nbatch")
            return super().forward(x.flatten(1))

    report = make("mlp", batch_size=60).distill(Picky(64, 10), 1)
    assert len(report.steps) == 2
    assert report.notes == ["the teacher's own accuracy is not known: RuntimeError: no such batch"]


def test_what_is_no_teacher(make):
    with pytest.raises(ArgumentError, match="A teacher is a learner or a torch module. str came"):
        make("mlp").distill("runs/large")


def test_a_network_that_takes_no_single_item_is_not_timed_with_one(make):
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(64, 10)

        def forward(self, x):
            if len(x) < 2:
                raise RuntimeError("two items at least")
            return self.head(x.flatten(1))

    report = make(Network(), lr=1e-2).distill(Network(), epochs=1)
    assert "batches of 1 are not timed: RuntimeError: two items at least" in report.notes
    assert "latency_32_ms" in report.steps[1]
    assert "distilled" in str(report)
