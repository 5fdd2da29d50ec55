"""What every network must satisfy, a backbone's or a reconstructor's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import torch

_TOLERANCE: Final = 1e-4  # relative, of float32 sums whose order depends on the batch


def check_network(network: Any, where: str) -> None:
    """Check that ``build`` gave a network.

    Raises:
        AssertionError: it is something else; ``where`` begins the sentence.
    """
    import torch

    assert isinstance(network, torch.nn.Module), (
        f"{where}: expected build to give a torch.nn.Module, found {type(network).__name__}"
    )


def check_gradients(network: torch.nn.Module, where: str) -> None:
    """Check that the last backward pass reached every parameter that is trained.

    Raises:
        AssertionError: one has no gradient, or none that is finite.
    """
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"{where}: no gradient reaches parameter {name}"
            finite = bool(parameter.grad.isfinite().all())
            assert finite, f"{where}: the gradient of {name} is not finite"


def is_close(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two answers are the same but for the order of their sums."""
    bound = _TOLERANCE * max(1.0, float(b.abs().max()))
    difference = float((a - b).abs().max())
    return math.isfinite(difference) and difference <= bound
