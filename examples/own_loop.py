"""The parts without the Learner: a plain loop of zero_grad, backward and step on the built-in digits.

    python examples/own_loop.py
"""

from __future__ import annotations

import torch

from fastgpu.data.sources import Raw, load
from fastgpu.losses import CrossEntropyLoss
from fastgpu.metrics import Accuracy
from fastgpu.models import ResNet
from fastgpu.optimizers import Adam

torch.manual_seed(0)
device = "cuda" if torch.cuda.is_available() else "cpu"

digits = load("digits")
assert isinstance(digits, Raw)
pictures, labels = torch.as_tensor(digits.splits["train"].x), torch.as_tensor(digits.splits["train"].y)
x = pictures.reshape(-1, 1, 8, 8).float().div(pictures.max()).to(device)
y = labels.long().to(device)
x, y, x_val, y_val = x[:-360], y[:-360], x[-360:], y[-360:]

model = ResNet(channels=1).to(device)
optimizer = Adam(model.parameters(), lr=1e-3)
loss_of, accuracy = CrossEntropyLoss(), Accuracy()

for epoch in range(3):
    model.train()
    for batch in torch.randperm(len(x), device=device).split(64):
        optimizer.zero_grad()
        loss = loss_of(model(x[batch]), y[batch])
        loss.backward()
        optimizer.step()

    model.eval()
    accuracy.reset()
    with torch.no_grad():
        accuracy.update(model(x_val), y_val)
    print(f"epoch {epoch + 1}: validation accuracy {accuracy.get():.3f}")
