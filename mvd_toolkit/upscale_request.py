"""What a grid can be upscaled to, and how: all that is checked before a network is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mvd_toolkit.conventions import SOFT_RULE
from mvd_toolkit.errors import InputError, UsageError

if TYPE_CHECKING:
    from mvd_toolkit.model_config import ModelConfig

DEFAULT_SIZE_LIMIT = 1024
"""Longest edge of a result when no size is asked for."""

MAX_LOW_EDGE = 256
"""Longest edge of a grid that is upscaled; eight times it is the largest grid of the core."""


def check_request(
    shape: Sequence[int], config: ModelConfig, to: int | None, low_rule: str, fill: str
) -> int:
    """Check what can be checked without a network; the longest edge of the result.

    Args:
        shape: of the coarse grid.
        config: of the model.
        to: longest edge of the result; None: the default.
        low_rule: auto, soft, or one of the model's.
        fill: hull or none.

    Raises:
        InputError: the grid is larger than `MAX_LOW_EDGE`.
        UsageError: another of them makes no sense.
    """
    if max(shape) > MAX_LOW_EDGE:
        raise InputError(
            f"grid of {_size(shape)}: expected a coarse grid, at most {MAX_LOW_EDGE} "
            "along its longest edge; `mvd convert --resolution` pools a fine one"
        )
    size = result_size(max(shape), config.scale, to)
    known = [rule for rule in config.rules if rule != SOFT_RULE]
    if low_rule not in ("auto", SOFT_RULE, *known):
        raise UsageError(
            f"low rule: expected auto, soft or one of this model's rules ({', '.join(known)}), "
            f"found {low_rule!r}"
        )
    if fill not in ("hull", "none"):
        raise UsageError(f"fill: expected hull or none, found {fill!r}")
    return size


def pooling_rule(low_rule: str) -> str:
    """The rule by which the model's own result is made smaller: the one the input was made by.

    >>> pooling_rule("any"), pooling_rule("soft")
    ('any', 'half')
    """
    return "half" if low_rule == SOFT_RULE else low_rule


def result_sizes(edge: int, scale: int) -> list[int]:
    """The sizes that an ``edge``³ grid can be given: the divisors of ``scale * edge``.

    >>> result_sizes(6, 4)
    [1, 2, 3, 4, 6, 8, 12, 24]
    """
    own = scale * edge
    return [size for size in range(1, own + 1) if own % size == 0]


def result_size(edge: int, scale: int, to: int | None) -> int:
    """The longest edge of the result for an ``edge``³ grid.

    Args:
        edge: longest edge of the coarse grid, voxels.
        scale: the model's.
        to: what was asked for; None: the largest size that 1024 allows.

    Raises:
        UsageError: ``to`` does not divide ``scale * edge``.
    """
    own = scale * edge
    if to is None:
        sizes = result_sizes(edge, scale)
        return max((size for size in sizes if size <= DEFAULT_SIZE_LIMIT), default=own)
    if not isinstance(to, (int, np.integer)):
        raise UsageError(f"size: expected a whole number of voxels, found {to!r}")
    if to < 1 or own % to:
        sizes = result_sizes(edge, scale)
        raise UsageError(
            f"size {to} cannot be made from {edge}: "
            f"expected a divisor of {scale} x {edge} = {own}; "
            f"these work: {', '.join(map(str, sizes))}"
        )
    return int(to)


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
