"""Where networks run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mvd_toolkit.errors import UnavailableError

if TYPE_CHECKING:
    import torch


def usable_device(device: str | torch.device) -> torch.device:
    """The device of this name, once a tensor could be made on it.

    Raises:
        UnavailableError: torch knows no such device, or it is not there.
    """
    import torch

    try:
        return torch.empty(1, device=torch.device(device)).device  # with its index
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnavailableError(
            f"device {str(device)!r} cannot be used: {reason}; `mvd doctor` says what is here"
        ) from error
