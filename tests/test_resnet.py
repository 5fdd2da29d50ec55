import pytest
import torch

from mvd_toolkit import plugins
from mvd_toolkit.errors import UsageError
from mvd_toolkit.options import parse_options
from mvd_toolkit.testing import check_backbone

SPEC = plugins.backbone("resnet")


@pytest.mark.parametrize("variant", ["paper", "authors"])
def test_contract(variant):
    check_backbone(SPEC, {"width": 8, "variant": variant})


def test_declared_receptive_field_is_the_exact_one_at_scale_8():
    torch.manual_seed(0)
    network = SPEC.build(1, 1, 8, width=8).double().eval()
    x = torch.randn(1, 1, 85, 85, dtype=torch.float64, requires_grad=True)
    reach = []
    answer = network(x)
    for phase in range(8):
        at = 42 * 8 + phase
        (gradient,) = torch.autograd.grad(answer[0, 0, at, at], x, retain_graph=True)
        rows = (gradient[0, 0] != 0).any(dim=1).nonzero()
        reach.append(int(rows.max() - rows.min()) + 1)
    assert max(reach) == SPEC.field(parse_options(SPEC, {"width": 8})) == 73


def test_the_authors_variant_has_their_channels():
    network = SPEC.build(2, 1, 8, variant="authors")
    assert [step.out_channels for step in network.steps] == [256, 128, 64]
    assert network.tail.in_channels == 16
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 2 * 16 + 1


def test_the_paper_variant_has_no_norm_and_keeps_its_width():
    network = SPEC.build(2, 1, 4)
    assert [step.out_channels for step in network.steps] == [512, 512]
    assert not [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]


def test_impossible_options_are_usage_errors():
    with pytest.raises(UsageError, match="width: expected a multiple of 8, found 12"):
        parse_options(SPEC, {"width": "12"})
    with pytest.raises(UsageError, match="one of paper, authors"):
        parse_options(SPEC, {"variant": "mine"})
