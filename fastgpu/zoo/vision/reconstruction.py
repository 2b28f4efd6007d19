"""Reconstruction: a small convolutional autoencoder that only learns to copy what is normal."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from fastgpu.nn.anomaly import AnomalyNetwork
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__ = ["Reconstruction"]

SIZES: dict[str, tuple[int, ...]] = {
    "reconstruction": (32, 64, 128, 32),
    "reconstruction/tiny": (16, 32, 16),
}
"""Name -> channels after each halving of the picture; the last is what a picture has to pass through."""

NEIGHBOURS = 5  # pixels over whose square the error is averaged, so that a defect counts more than noise


class Reconstruction(AnomalyNetwork):
    """Scores a picture by the place that it reproduces worst, after Bergmann et al., 2019, https://arxiv.org/abs/1807.02011.

    Args:
        channels: channels of a picture.
        widths: channels after each halving.
    """

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        down, up, before = list[nn.Module](), list[nn.Module](), channels
        for width in widths:
            down += [nn.Conv2d(before, width, 4, 2, 1), nn.BatchNorm2d(width), nn.GELU()]
            up = [nn.Upsample(scale_factor=2), nn.Conv2d(width, before, 3, 1, 1), nn.BatchNorm2d(before), nn.GELU(), *up]
            before = width
        # The last layer gives pixels on any scale, and the narrowest one is not bent.
        self.encoder, self.decoder = nn.Sequential(*down[:-1]), nn.Sequential(*up[:-2])

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Reproduce pictures `(b, c, h, w)`: `"score"` and `"losses"` `(b,)`, `"map"` `(b, h, w)`, squared errors in deviations."""
        again = self.decoder(self.encoder(image))
        if again.shape[-2:] != image.shape[-2:]:  # a side that cannot be halved as often
            again = F.interpolate(again, image.shape[-2:], mode="bilinear", align_corners=False)
        errors = (again - image).square().mean(1)
        places = F.avg_pool2d(errors[:, None], NEIGHBOURS, 1, NEIGHBOURS // 2, count_include_pad=False)[:, 0]
        return {"score": places.flatten(1).amax(1), "losses": errors.flatten(1).mean(1), "map": places}


def entry(name: str) -> Entry:
    """Facts about a size of the autoencoder."""
    return Entry(
        name=name,
        inputs=("image",),
        tasks=("anomaly",),
        source=f"convolutional autoencoder, channels {', '.join(map(str, SIZES[name]))} (after Bergmann et al., 2019, arXiv 1807.02011)",
        licence="Apache-2.0",
        typical=({"kind": "image", "channels": 3, "size": (256, 256)}, {"task": "anomaly", "outputs": 1}),
    )


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build the autoencoder for pictures of `facts["channels"]`."""
    return Built(net=Reconstruction(facts["channels"], SIZES[name]))


FAMILIES.register("reconstruction")(Family(names=lambda: list(SIZES), entry=entry, build=build, prefixes=("reconstruction",)))
