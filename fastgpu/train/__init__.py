"""Training: the one LightningModule, the Trainer's settings, optimizers, schedules, checkpoints."""
