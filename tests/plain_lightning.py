"""What the tests of callbacks share that serve a plain Lightning Trainer too: a LightningModule as anybody writes it, trained on noise."""

from __future__ import annotations

import lightning.pytorch as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def plain_conv():
    return nn.Sequential(nn.Conv2d(1, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(576, 10))


class Plain(pl.LightningModule):
    """A LightningModule as anybody writes it."""

    def __init__(self, compiled=False):
        super().__init__()
        torch.manual_seed(0)
        self.net = torch.compile(plain_conv(), backend="eager") if compiled else plain_conv()

    def training_step(self, batch, batch_idx):
        return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", nn.functional.cross_entropy(self.net(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), 1e-3)


def loader(n=64):
    torch.manual_seed(0)
    return DataLoader(TensorDataset(torch.rand(n, 1, 8, 8), torch.randint(0, 10, (n,))), 16)


def trained(callbacks, module=None, epochs=3, ckpt=None, **settings):
    module = module or Plain()
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=callbacks, **{"enable_checkpointing": False, **settings},
    )
    trainer.fit(module, loader(), loader(16), ckpt_path=ckpt)
    return module
