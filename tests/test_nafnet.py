import pytest
import torch
from mvd_nafnet.network import LayerNorm2d, NAFBlock, SimpleGate

from mvd_toolkit import plugins
from mvd_toolkit.errors import UsageError
from mvd_toolkit.options import parse_options
from mvd_toolkit.testing import check_backbone

SPEC = plugins.backbone("nafnet")


def test_contract():
    check_backbone(SPEC, {"width": 8, "middle": 1})


def test_layer_norm_is_torchs_over_the_channels():
    torch.manual_seed(0)
    x = torch.randn(2, 6, 5, 4)
    norm = LayerNorm2d(6)
    expected = torch.nn.functional.layer_norm(x.permute(0, 2, 3, 1), (6,), eps=1e-6)
    assert torch.allclose(norm(x), expected.permute(0, 3, 1, 2), atol=1e-6)


def test_the_gate_is_the_product_of_the_halves():
    x = torch.arange(4.0).view(1, 4, 1, 1)
    assert SimpleGate()(x).flatten().tolist() == [0 * 2, 1 * 3]


def test_a_block_starts_as_the_identity_and_has_no_activation():
    block = NAFBlock(4)
    x = torch.randn(1, 4, 6, 6)
    assert torch.equal(block(x), x)
    names = {type(module).__name__ for module in block.modules()}
    assert not names & {"ReLU", "GELU", "SiLU", "Sigmoid"}


def test_the_trunk_and_the_head_are_the_network():
    network = SPEC.build(3, 2, 4, width=8, middle=1).eval()
    x = torch.randn(1, 3, 7, 9)
    with torch.no_grad():
        whole = network(x)
        parts = torch.nn.functional.pixel_shuffle(network.head(network.trunk(x)), 4)
    assert torch.equal(whole, parts)


def test_impossible_options_are_usage_errors():
    with pytest.raises(UsageError, match="width: expected an even number, found 7"):
        parse_options(SPEC, {"width": "7"})
