"""The reconstructors that ship, against the contract and the paper."""

import pytest
import torch

from mvd_toolkit import ReconstructorSpec, plugins
from mvd_toolkit.plugin_contract import PluginError, check_spec
from mvd_toolkit.testing import check_reconstructor

SMALL = {"residual": {"width": 8, "blocks": 1}, "autoencoder": {"width": 8, "kernel": 3}}


@pytest.mark.parametrize("name", SMALL)
def test_the_contract_is_kept(name):
    check_reconstructor(plugins.reconstructor(name), SMALL[name], edge=16)


def test_the_autoencoder_has_the_authors_sizes():
    network = plugins.reconstructor("autoencoder").build(128, 32)
    convolutions = [m for m in network.encoder if isinstance(m, torch.nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [64, 128, 256, 512, 400]
    assert [m.stride[0] for m in convolutions] == [2, 2, 2, 2, 1]
    assert {m.kernel_size[0] for m in convolutions} == {7}
    grown = [m for m in network.decoder if isinstance(m, torch.nn.ConvTranspose3d)]
    assert [m.out_channels for m in grown] == [128, 64, 32, 8]
    assert network.grow.out_features == 1024


def test_the_autoencoder_has_the_papers_loss_and_threshold():
    spec = plugins.reconstructor("autoencoder")
    assert spec.threshold == 0.45
    target = torch.tensor([[[[1.0, 0.0]]]])
    half = spec.loss(torch.zeros_like(target), target)
    assert float(half) == pytest.approx(0.25 + 0.001 * 0.5)


class Broken(torch.nn.Module):
    def __init__(self, edge, fault):
        super().__init__()
        self.edge, self.fault = edge, fault
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.unused = torch.nn.Parameter(torch.ones(1)) if fault == "no gradient" else None

    def forward(self, pictures):
        value = pictures.mean(dim=(1, 2, 3)) * self.weight
        if self.fault == "in a batch":
            value = value + pictures.mean()
        if self.fault == "two calls":
            value = value + torch.rand(1)
        edge = self.edge + (self.fault == "expected (3,")
        grid = value[:, None, None, None].expand(-1, edge, edge, edge)
        return grid.double() if self.fault == "float32" else grid


@pytest.mark.parametrize(
    "fault", ["no gradient", "in a batch", "two calls", "expected (3,", "float32"]
)
def test_the_check_finds_what_is_broken(fault):
    spec = ReconstructorSpec("broken", lambda size, edge: Broken(edge, fault), size=16)
    with pytest.raises(AssertionError) as told:
        check_reconstructor(spec, edge=4)
    assert fault in str(told.value)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({"size": 4}, "8 to 1024"), ({"threshold": 1}, "threshold"), ({"options": int}, "dataclass")],
)
def test_a_spec_that_breaks_the_contract(wrong, told):
    with pytest.raises(PluginError, match=told):
        check_spec(ReconstructorSpec("mine", lambda size, edge: None, **wrong))


def test_an_unknown_reconstructor_names_those_there_are():
    with pytest.raises(Exception, match="autoencoder, residual"):
        plugins.reconstructor("unheard-of")
