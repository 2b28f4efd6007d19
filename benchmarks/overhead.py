"""What the Learner costs beside a loop written by hand: `python -m benchmarks.overhead [--rounds 5] [--threads 1]`.

The same network, initial weights, in-memory data, batch size, optimizer and epochs, in turn by
(a) a loop written by hand over torch's `DataLoader`, with loss and accuracy summed and a validation pass;
(b) plain Lightning: `self.log` of loss and accuracy, its default progress bar, logger and checkpoints;
(c) the Learner with its defaults: progress, history, metrics, checkpoints.
Printed are medians over the rounds, and the medians of the ratios within each round.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy

from fastgpu import Learner, zoo

Data = tuple[torch.Tensor, torch.Tensor]
BATCH = 64


def by_hand(net: nn.Module, train: Data, val: Data, epochs: int) -> None:
    """A loop as it stands in torch's own tutorial, with the sums that a history needs."""
    train_loader = DataLoader(TensorDataset(*train), BATCH, shuffle=True)
    val_loader = DataLoader(TensorDataset(*val), BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for _ in range(epochs):
        net.train()
        loss_sum, correct = torch.zeros(()), torch.zeros((), dtype=torch.long)
        for x, y in train_loader:
            optimizer.zero_grad()
            out = net(x)
            loss = F.cross_entropy(out, y)
            loss.backward()
            optimizer.step()
            loss_sum += loss.detach() * len(y)
            correct += (out.detach().argmax(1) == y).sum()
        net.eval()
        with torch.no_grad():
            for x, y in val_loader:
                out = net(x)
                loss_sum += F.cross_entropy(out, y) * len(y)
                correct += (out.argmax(1) == y).sum()


class Plain(LightningModule):
    """The module of Lightning's own guide."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.accuracy, self.val_accuracy = MulticlassAccuracy(10, average="micro"), MulticlassAccuracy(10, average="micro")

    def training_step(self, batch: Data, batch_idx: int) -> torch.Tensor:
        """Loss and accuracy, logged each step."""
        x, y = batch
        out = self.net(x)
        loss = F.cross_entropy(out, y)
        self.accuracy(out, y)
        self.log("loss", loss, on_step=False, on_epoch=True)
        self.log("accuracy", self.accuracy, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch: Data, batch_idx: int) -> None:
        """Loss and accuracy."""
        x, y = batch
        out = self.net(x)
        self.val_accuracy(out, y)
        self.log("val_loss", F.cross_entropy(out, y))
        self.log("val_accuracy", self.val_accuracy, prog_bar=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW, as the others."""
        return torch.optim.AdamW(self.parameters(), lr=1e-3)


def by_lightning(net: nn.Module, train: Data, val: Data, epochs: int, folder: str) -> None:
    """Plain Lightning."""
    trainer = Trainer(max_epochs=epochs, default_root_dir=folder, accelerator="cpu", enable_model_summary=False)
    trainer.fit(Plain(net), DataLoader(TensorDataset(*train), BATCH, shuffle=True), DataLoader(TensorDataset(*val), BATCH))


def measure(name: str, build: Callable[[], nn.Module], train: Data, val: Data, *, epochs: int, rounds: int, wall: bool) -> None:
    """Train by each of the three in turn, `rounds` times, and print."""
    clock = time.perf_counter if wall else time.process_time
    first = build()
    times: dict[str, list[float]] = {"hand": [], "lightning": [], "learner": []}
    for _ in range(rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            for contender in times:
                net = copy.deepcopy(first)
                # The Learner's construction reads statistics once; training is what is compared.
                learn = Learner(net, (train, val), out=folder, batch_size=BATCH) if contender == "learner" else None
                began = clock()
                if learn is not None:
                    learn.fit(epochs)
                elif contender == "hand":
                    by_hand(net, train, val, epochs)
                else:
                    by_lightning(net, train, val, epochs, folder)
                times[contender].append(clock() - began)
    for found in times.values():
        del found[0]  # the first round warms up
    steps = epochs * -(-len(train[0]) // BATCH)
    print(f"\n{name}: {steps} steps of {BATCH}, {rounds} rounds, {'wall' if wall else 'CPU'} time", file=out)
    for contender, found in times.items():
        ratio = statistics.median(t / h for t, h in zip(found, times["hand"]))
        spread = f"{min(found):.2f} to {max(found):.2f}"
        median = statistics.median(found)
        print(f"  {contender:10} {median:7.2f} s ({spread})  {median / steps * 1e6:9.0f} us a step   x {ratio:.2f}", file=out)


def main() -> None:
    """Measure the tiny MLP (bound by overhead) and ResNet-18 on 32x32 (bound by compute)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=("mlp", "resnet"))
    parser.add_argument("--wall", action="store_true", help="wall time; for a machine with nothing else running")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    if options.only != "resnet":
        x, y = torch.randn(38400, 784), torch.randint(0, 10, (38400,))
        run(
            "MLP 784-128-10",
            lambda: nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)),
            (x, y), (x[:3840], y[:3840]), epochs=3, rounds=options.rounds, wall=options.wall,
        )
    if options.only != "mlp":
        x, y = torch.randn(640, 3, 32, 32), torch.randint(0, 10, (640,))
        facts = {"kind": "image", "channels": 3, "size": (32, 32)}
        run(
            "ResNet-18 on 32x32",
            lambda: zoo.build("resnet18", facts, 10, False).net,
            (x, y), (x[:128], y[:128]), epochs=1, rounds=max(1, options.rounds // 2), wall=options.wall,
        )


out = None


def run(name: str, build: Callable[[], nn.Module], train: Data, val: Data, *, epochs: int, rounds: int, wall: bool) -> None:
    """Measure with every contender's own printing kept out of the way, on its way all the same."""
    global out
    import sys

    out = sys.stdout
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        measure(name, build, train, val, epochs=epochs, rounds=rounds, wall=wall)


if __name__ == "__main__":
    main()
