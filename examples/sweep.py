"""A sweep of Weights & Biases: what its agent chooses takes the place of the Learner's own values.

    python examples/sweep.py              one training, with the values that stand below
    python examples/sweep.py --start      a new sweep, and an agent that tries twenty (needs a key)
    wandb agent ENTITY/PROJECT/SWEEP      a further agent, on this machine or another
"""

import sys

import wandb

from fastgpu import Learner

SWEEP = {
    "program": "examples/sweep.py",
    "method": "bayes",
    "metric": {"name": "val_accuracy", "goal": "maximize"},
    "parameters": {
        "lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-1},
        "batch_size": {"values": [32, 64, 128]},
        "optimizer": {"values": ["adamw", "sgd"]},
    },
}


def train():
    learn = Learner("mlp", "digits", lr=1e-3, batch_size=64, logger="wandb")
    learn.fit(3)
    print(learn.evaluate())


if "--start" in sys.argv:
    try:
        sweep = wandb.sweep(SWEEP, project="fastgpu")
    except wandb.errors.UsageError as error:  # no key, in its own words
        sys.exit(f"A sweep is kept on a server of Weights & Biases, which asks for a key. {error} Or search without one: fastgpu tune --help.")
    wandb.agent(sweep, train, count=20)
else:
    train()
