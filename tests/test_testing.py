"""The test kit catches what it says it catches; the package's own backbones pass it."""

from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mvd_toolkit import ops, plugins
from mvd_toolkit.data import PairDataset
from mvd_toolkit.io import Limits, npz
from mvd_toolkit.specs import BackboneSpec, PredictorSpec
from mvd_toolkit.testing import check_backbone, check_format, check_predictor, make_tiny_dataset

SMALL = {
    "resnet": {"width": 8},
    "unet": {"width": 8, "blocks": 1},
    "nafnet": {"width": 8, "middle": 1},
}


@pytest.mark.parametrize("name", sorted(SMALL))
def test_the_packages_backbones_keep_the_contract(name):
    check_backbone(plugins.backbone(name), SMALL[name])


class Good(nn.Module):
    """Nearest-neighbour upsampling and a 3x3 convolution."""

    def __init__(self, in_channels, out_channels, scale, padding=1):
        super().__init__()
        self.scale = scale
        self.conv = nn.Conv2d(in_channels, out_channels, 2 * padding + 1, padding=padding)

    def forward(self, x):
        return F.interpolate(self.conv(x), scale_factor=self.scale)


class WrongShape(Good):
    def forward(self, x):
        return self.conv(x)


class Half(Good):
    def forward(self, x):
        return super().forward(x).half()


class Endless(Good):
    def forward(self, x):
        return super().forward(x) / 0.0


class Dropping(Good):
    def forward(self, x):
        return F.dropout(super().forward(x), 0.5, training=True)


class Mixing(Good):
    def forward(self, x):
        return super().forward(x - x.mean(dim=0, keepdim=True))


class Idle(Good):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.idle = nn.Parameter(torch.zeros(3))


class Forgetful(Good):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.offset = torch.rand(1)

    def forward(self, x):
        return super().forward(x) + self.offset


class InPlace(Good):
    def forward(self, x):
        return super().forward(x.mul_(0.5))


class Wide(Good):
    def __init__(self, *arguments):
        super().__init__(*arguments, padding=2)


def spec_of(build, **changes):
    arguments = {"name": "fake", "build": build, "receptive_field": 3, "scales": (2, 4), **changes}
    return BackboneSpec(**arguments)


def test_a_right_backbone_passes():
    check_backbone(spec_of(Good))
    check_backbone(spec_of(Wide, receptive_field=None))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (WrongShape, r"expected \(3, 2, 10, 10\), found \(3, 2, 5, 5\)"),
        (Half, "expected float32, found torch.float16"),
        (Endless, "the answer is not finite"),
        (Dropping, "two calls in eval mode differ"),
        (Mixing, "item 0 alone differs"),
        (Idle, "no gradient reaches parameter idle"),
        (Forgetful, "neither a parameter nor a buffer"),
        (InPlace, "the input was changed in place"),
        (Wide, "depends on 5 input pixels along an axis, receptive_field declares 3"),
        (lambda *arguments: "network", "expected build to give a torch.nn.Module, found str"),
    ],
)
def test_a_wrong_backbone_is_caught(build, message):
    with pytest.raises(AssertionError, match=message):
        check_backbone(spec_of(build))


@dataclass
class NoDefault:
    width: int


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"api": 2}, "written for plugin api 2"),
        ({"name": "Über"}, "expected a name of a-z"),
        ({"scales": ()}, "expected scales above 1"),
        ({"options": NoDefault}, "option 'width' has no default"),
        ({"options": dict}, "expected options to be a dataclass"),
    ],
)
def test_a_wrong_declaration_is_caught(changes, message):
    with pytest.raises(AssertionError, match=message):
        check_backbone(spec_of(Good, **changes))


def constant(value, dtype=torch.float32):
    def load(directory):
        return lambda low: torch.full((len(low), 6, 16, 16), value, dtype=dtype)

    return load


@pytest.mark.parametrize(
    ("role", "load", "message"),
    [
        ("silhouette", constant(1.5), "expected probabilities between 0 and 1"),
        ("depth", constant(1.5, torch.float64), "expected float32, found torch.float64"),
        ("depth", constant(float("nan")), "the answer is not finite"),
        ("depth", lambda directory: lambda low: low.float(), "expected shape"),
        (
            "depth",
            lambda directory: lambda low: torch.rand(len(low), 6, 16, 16),
            "two calls differ",
        ),
    ],
)
def test_a_wrong_predictor_is_caught(tmp_path, role, load, message):
    spec = PredictorSpec("fake", role, fit=lambda dataset, run: None, load=load, scales=(2,))
    with pytest.raises(AssertionError, match=message):
        check_predictor(spec, tmp_path)


def test_the_tiny_dataset_is_the_same_every_time(tmp_path):
    one, two = (
        PairDataset(make_tiny_dataset(tmp_path / name, low=4, scale=2, count=4), "train")
        for name in ("one", "two")
    )
    assert one.fingerprint == two.fingerprint
    assert len(one) == 3
    assert all(one.high_grid(index).count() > 0 for index in range(3))


@pytest.mark.parametrize("name", sorted(plugins.formats()))
def test_the_package_s_formats_pass(tmp_path, name):
    check_format(plugins.formats()[name], tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"matches": lambda head, size: False}, "npz: own file not recognised"),
        ({"write": lambda grid, file: npz.write(ops.dilate(grid), file)}, "does not come back"),
        ({"read": lambda path, limits: npz.read(path, Limits())}, "a file over a limit"),
        ({"read": lambda path, limits: 1 / 0}, "ZeroDivisionError"),
        ({"suffixes": ("npz",)}, "expected suffixes in lower case"),
    ],
)
def test_a_format_that_breaks_the_contract(tmp_path, change, message):
    with pytest.raises((AssertionError, ZeroDivisionError), match=f"{message}|division by zero"):
        check_format(replace(npz.FORMAT, **change), tmp_path)


def test_a_format_that_loses_the_place(tmp_path):
    form = plugins.formats()["npy"]
    with pytest.raises(AssertionError, match="npy: expected it at"):
        check_format(replace(form, place=True), tmp_path)
