"""Public data sets for classification that torchvision can fetch: facts only. Sets without a digest to check are not in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["PUBLIC", "PublicSet"]

Options = Mapping[str, Mapping[str, Any]]

_TRAIN_TEST: Options = {"train": {"train": True}, "test": {"train": False}}
_SPLITS_2: Options = {"train": {"split": "train"}, "test": {"split": "test"}}
_SPLITS_3: Options = {"train": {"split": "train"}, "val": {"split": "val"}, "test": {"split": "test"}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PublicSet:
    """Facts about a public data set.

    Args:
        factory: name of its class in `torchvision.datasets`.
        source: who made it, and where it is from.
        splits: split -> arguments of the class.
        urls: address -> place of the file under the data folder; None: the class itself lists them.
        needs: a package that torchvision needs to read it.
    """

    factory: str
    source: str
    splits: Options
    urls: Mapping[str, str] | None = None
    needs: str | None = None

    def make(self) -> Callable[..., Any]:
        """The class in torchvision."""
        import torchvision.datasets

        return getattr(torchvision.datasets, self.factory)

    def options(self, size: tuple[int, int] | None) -> dict[str, dict[str, Any]]:
        """Arguments of the class by split; imagenette comes in three sizes, of which the smallest that will do is taken."""
        more = {"size": _imagenette_size(size)} if self.factory == "Imagenette" else {}
        return {split: {**options, **more} for split, options in self.splits.items()}

    def mirrors(self) -> list[str]:
        """Addresses of hosts that hold the same files."""
        return list(getattr(self.make(), "mirrors", ()))

    def files(self, size: tuple[int, int] | None) -> list[tuple[str, str]]:
        """`(address, place under the data folder)` of every file that is fetched."""
        if self.factory == "Imagenette":
            name = {"160px": "imagenette2-160.tgz", "320px": "imagenette2-320.tgz", "full": "imagenette2.tgz"}
            file = name[_imagenette_size(size)]
            return [(f"https://s3.amazonaws.com/fast-ai-imageclas/{file}", file)]
        if self.urls is not None:
            return list(self.urls.items())
        cls: Any = self.make()
        if hasattr(cls, "resources"):
            return [(f"{cls.mirrors[0]}{file}", f"{cls.__name__}/raw/{file}") for file, _ in cls.resources]
        if hasattr(cls, "split_list"):
            return [(cls.split_list[split][0], cls.split_list[split][1]) for split in ("train", "test")]
        return [(cls.url, cls.filename)]


def _imagenette_size(size: tuple[int, int] | None) -> str:
    side = 224 if size is None else max(size)
    return "160px" if side <= 160 else "320px" if side <= 320 else "full"


_EUROSAT = "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd"
_OXFORD = "https://www.robots.ox.ac.uk/~vgg/data"

PUBLIC: dict[str, PublicSet] = {
    "mnist": PublicSet(factory="MNIST", source="LeCun, Cortes & Burges 1998", splits=_TRAIN_TEST),
    "fashion_mnist": PublicSet(factory="FashionMNIST", source="Xiao et al. 2017, arXiv:1708.07747", splits=_TRAIN_TEST),
    "kmnist": PublicSet(factory="KMNIST", source="Clanuwat et al. 2018, arXiv:1812.01718", splits=_TRAIN_TEST),
    "usps": PublicSet(factory="USPS", source="Hull 1994, doi:10.1109/34.291440", splits=_TRAIN_TEST),
    "cifar10": PublicSet(factory="CIFAR10", source="Krizhevsky 2009", splits=_TRAIN_TEST),
    "cifar100": PublicSet(factory="CIFAR100", source="Krizhevsky 2009", splits=_TRAIN_TEST),
    "svhn": PublicSet(factory="SVHN", source="Netzer et al. 2011", splits=_SPLITS_2, needs="scipy"),
    "stl10": PublicSet(factory="STL10", source="Coates, Ng & Lee 2011", splits=_SPLITS_2),
    "imagenette": PublicSet(
        factory="Imagenette",
        source="Howard 2019, https://github.com/fastai/imagenette",
        splits={"train": {"split": "train"}, "val": {"split": "val"}},
    ),
    "flowers102": PublicSet(
        factory="Flowers102",
        source="Nilsback & Zisserman 2008",
        splits=_SPLITS_3,
        urls={
            f"{_OXFORD}/flowers/102/{file}": f"flowers-102/{file}" for file in ("102flowers.tgz", "imagelabels.mat", "setid.mat")
        },
        needs="scipy",
    ),
    "oxford_iiit_pet": PublicSet(
        factory="OxfordIIITPet",
        source="Parkhi et al. 2012",
        splits={"train": {"split": "trainval"}, "test": {"split": "test"}},
        urls={f"{_OXFORD}/pets/data/{file}": f"oxford-iiit-pet/{file}" for file in ("images.tar.gz", "annotations.tar.gz")},
    ),
    "food101": PublicSet(
        factory="Food101",
        source="Bossard, Guillaumin & Van Gool 2014",
        splits=_SPLITS_2,
        urls={"http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz": "food-101.tar.gz"},
    ),
    "dtd": PublicSet(
        factory="DTD",
        source="Cimpoi et al. 2014",
        splits=_SPLITS_3,
        urls={f"{_OXFORD}/dtd/download/dtd-r1.0.1.tar.gz": "dtd/dtd-r1.0.1.tar.gz"},
    ),
    "eurosat": PublicSet(
        factory="EuroSAT",
        source="Helber et al. 2019, arXiv:1709.00029",
        splits={"train": {}},
        urls={f"{_EUROSAT}/EuroSAT.zip": "eurosat/EuroSAT.zip"},
    ),
}
