"""What every reconstructor must satisfy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mvd_toolkit.options import parse_options
from mvd_toolkit.specs import ReconstructorSpec
from mvd_toolkit.testing.declaration import check_declaration
from mvd_toolkit.testing.networks import check_gradients, check_network, is_close

if TYPE_CHECKING:
    import torch


def check_reconstructor(
    spec: ReconstructorSpec, options: Mapping[str, Any] | None = None, edge: int = 32
) -> None:
    """Check that a reconstructor keeps the contract of `ReconstructorSpec`.

    Shape and type of the answer, the same answer twice in eval mode, an item's answer independent
    of its batch, a gradient at every parameter, state that survives a round trip, a loss that is
    a finite number and falls when the answer is the truth, features of one shape.

    Args:
        spec: the reconstructor.
        options: those to build with, as ``--set`` takes them.
        edge: of the grids.

    Raises:
        AssertionError: what is broken.
    """
    import torch

    check_declaration(spec)
    where = f"reconstructor {spec.name}"
    parsed = parse_options(spec, options or {})
    torch.manual_seed(0)
    network = spec.build(spec.size, edge, **parsed)
    check_network(network, where)
    pictures = torch.rand(3, 3, spec.size, spec.size)
    network.eval()
    with torch.no_grad():
        answer = network(pictures)
        expected = (3, edge, edge, edge)
        assert tuple(answer.shape) == expected, (
            f"{where}: expected {expected}, found {tuple(answer.shape)}"
        )
        assert answer.dtype == torch.float32, f"{where}: expected float32, found {answer.dtype}"
        assert bool(torch.isfinite(answer).all()), f"{where}: the answer is not finite"
        assert torch.equal(network(pictures), answer), f"{where}: two calls in eval mode differ"
        alone = network(pictures[1:2])[0]
        assert is_close(alone, answer[1]), f"{where}: an item alone differs from it in a batch"
        other = spec.build(spec.size, edge, **parsed).eval()
        other.load_state_dict(network.state_dict())
        assert torch.equal(other(pictures), answer), (
            f"{where}: another build with the same state_dict answers differently"
        )
        features = getattr(network, "features", None)
        if features is not None:
            found = tuple(features(pictures).shape)
            assert (len(found), found[0]) == (2, 3), f"{where}: expected (3, D), found {found}"
    _check_reconstructor_loss(spec, network, pictures, edge)


def _check_reconstructor_loss(
    spec: ReconstructorSpec, network: torch.nn.Module, pictures: torch.Tensor, edge: int
) -> None:
    import torch

    from mvd_toolkit.reconstructor_model import dice_loss

    where = f"reconstructor {spec.name}"
    loss = spec.loss or dice_loss
    target = (torch.rand(3, edge, edge, edge) < 0.2).float()
    network.train()
    value = loss(network(pictures), target)
    assert value.ndim == 0, f"{where}: the loss is no number"
    assert bool(torch.isfinite(value)), f"{where}: the loss is not finite"
    value.backward()  # type: ignore[no-untyped-call]
    check_gradients(network, where)
    right, wrong = loss(20 * target - 10, target), loss(10 - 20 * target, target)
    assert float(right) < float(wrong), f"{where}: the truth has a higher loss than its opposite"
