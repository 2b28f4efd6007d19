"""The parts without the Learner: a plain loop of zero_grad, backward and step on the built-in digits.

    python examples/own_loop.py
"""

from __future__ import annotations

from typing import Any

import torch

from fastgpu.data.sources import load
from fastgpu.losses import CrossEntropyLoss
from fastgpu.metrics import Accuracy
from fastgpu.models import ResNet
from fastgpu.optimizers import Adam

torch.manual_seed(0)
device = "cuda" if torch.cuda.is_available() else "cpu"

digits: Any = load("digits").splits["train"]
x = torch.tensor(digits.x, device=device).float() / 255  # (1797, 1, 8, 8)
y = torch.tensor(digits.y, device=device)
train, val = torch.randperm(len(x), device=device).split((1437, 360))

model = ResNet(classes=10, channels=1, image_size=8).to(device)
optimizer = Adam(model.parameters(), lr=1e-3)
loss_of, accuracy = CrossEntropyLoss(), Accuracy()

for epoch in range(5):
    model.train()
    for batch in train[torch.randperm(len(train), device=device)].split(64):
        optimizer.zero_grad()
        loss = loss_of(model(x[batch]), y[batch])
        loss.backward()
        optimizer.step()

    model.eval()
    accuracy.reset()
    with torch.no_grad():
        accuracy.update(model(x[val]), y[val])
    print(f"epoch {epoch + 1}: validation accuracy {accuracy.get():.3f}")
