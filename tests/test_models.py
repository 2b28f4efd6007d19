"""Building blocks for a loop of one's own: they work with no arguments and are plain modules."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from fastgpu import models
from fastgpu.errors import ArgumentError


@pytest.mark.parametrize("name", models.__all__)
def test_no_arguments(name):
    with torch.device("meta"):
        net = getattr(models, name)()
        assert isinstance(net, nn.Module)
        x = {
            "MLP": (torch.empty(2, 784),),
            "TableResNet": (torch.empty(2, 16),),
            "TextEncoder": (torch.ones(2, 5, dtype=torch.int64), torch.ones(2, 5, dtype=torch.bool)),
        }.get(name, (torch.empty(2, 3, 224, 224),))
        outputs = {"MLP": 10, "TableResNet": 2, "TextEncoder": 2}.get(name, 1000)
        assert net(*x).shape == (2, outputs)


@pytest.mark.parametrize("name", ["ResNet", "MobileNet", "EfficientNet", "ConvNeXt", "ViT"])
def test_pictures_of_8_pixels(name):
    net = getattr(models, name)(classes=3, channels=1, image_size=8)
    net(torch.randn(2, 1, 8, 8)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_resnet_is_the_one_of_timm():
    assert isinstance(models.ResNet(), timm.models.ResNet)


def test_unknown_size():
    with pytest.raises(ArgumentError, match="no such depth. Got 19. Take one of 10, 14, 18"):
        models.ResNet(depth=19)
    with pytest.raises(ArgumentError, match="no such size. Got 'huge'"):
        models.ViT("huge")
