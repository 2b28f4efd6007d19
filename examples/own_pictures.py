"""A folder of pictures, one folder a class: made on the spot, trained on, and predicted from.

    python examples/own_pictures.py
"""

import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from fastgpu import Learner

folder = Path(tempfile.mkdtemp()) / "stripes"
rng = np.random.default_rng(0)
for name in ("across", "down"):
    (folder / name).mkdir(parents=True)
    for i in range(100):
        lines = rng.integers(0, 255, 16)[:, None].repeat(16, 1)
        noise = rng.normal(0, 20, (16, 16))
        picture = ((lines if name == "across" else lines.T) + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / name / f"{i}.png")

# mobilenetv3_small_050 or resnet18 go here as well, and with pretrained="auto" they need few pictures of your own.
learn = Learner("mlp", folder, lr=3e-3)
learn.fit(10)

results = learn.predict([folder / "across" / "0.png", folder / "down" / "0.png"])
print(results.to_frame())
learn.show_results().savefig("stripes.png")
