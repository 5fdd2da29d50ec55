"""What a backbone says of the fine pixels under a silhouette.

Only those fine pixels are asked for whose low pixel is silhouette, and logits of a whole face of
2048² pixels would take gigabytes: a backbone that ends in a 1x1 convolution has it run on those
pixels alone, some at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from mvd_toolkit.errors import UnavailableError
from mvd_toolkit.tiling import Tiling, run_tiled

IMAGE_SYMMETRIES = tuple(
    (flip, flip != turn, swap)
    for swap in (False, True)
    for turn in (False, True)
    for flip in (False, True)
)
"""The eight symmetries of an image: mirror its first axis, its second, then swap them. The first is
the identity, the first two are it and the half turn."""


def fine_pixels(images: torch.Tensor, mask: torch.Tensor, scale: int) -> torch.Tensor:
    """The fine pixels of the low pixels in ``mask``.

    Args:
        images: (M, sL, sL).
        mask: (M, L, L) bool, P of them set.
        scale: s.

    Returns:
        (P, s * s), the sub-pixels row by row.
    """
    count, edge = mask.shape[0], mask.shape[-1]
    blocks = images.reshape(count, edge, scale, edge, scale).permute(0, 1, 3, 2, 4)
    return blocks[mask].flatten(1)


def fine_logits(
    backbone: nn.Module,
    planes: torch.Tensor,
    mask: torch.Tensor,
    scale: int,
    some: torch.Tensor | None = None,
) -> torch.Tensor:
    """Run a backbone and keep the fine pixels of the low pixels in ``mask``.

    A backbone that has ``trunk`` (to (M, C, L, L)) and ``head`` (a 1x1 convolution to K·s²
    channels, sub-pixels last) gets its head run on those fine pixels alone, which is the same and
    much less work; any other runs whole.

    Args:
        backbone: (M, C, L, L) to (M, K, sL, sL).
        planes: (M, C, L, L).
        mask: (M, L, L) bool, P of them set.
        scale: s.
        some: (S,) int64, the sub-pixels wanted; all s² where left out.

    Returns:
        (P, S, K).

    Raises:
        UnavailableError: the backbone is at fault: its images have the wrong shape.
    """
    head = quick_head(backbone)
    if head is not None:
        pixels = backbone.trunk(planes).permute(0, 2, 3, 1)[mask]  # type: ignore[operator]
        return head_logits(head, pixels, scale, some)
    images: torch.Tensor = backbone(planes)  # (M, K, sL, sL)
    _check_images(images, planes, scale)
    count, edge = len(mask), mask.shape[-1]
    blocks = images.view(count, -1, edge, scale, edge, scale).permute(0, 2, 4, 3, 5, 1)
    logits = blocks[mask].flatten(1, 2)
    return logits if some is None else logits[:, some]


def quick_head(backbone: nn.Module) -> nn.Conv2d | None:
    """The 1x1 convolution that a backbone ends in, where it has one beside a ``trunk``."""
    head = getattr(backbone, "head", None)
    quick = (
        isinstance(head, nn.Conv2d) and head.kernel_size == (1, 1) and hasattr(backbone, "trunk")
    )
    return head if quick else None


def head_logits(
    head: nn.Conv2d, pixels: torch.Tensor, scale: int, some: torch.Tensor | None = None
) -> torch.Tensor:
    """What a head makes of P low pixels: (P, C) to (P, S, K), S = s * s, or that of ``some``."""
    weight = head.weight.view(-1, scale**2, pixels.shape[1]).transpose(0, 1)  # (s * s, K, C)
    bias = head.bias if head.bias is not None else weight.new_zeros(head.out_channels)
    bias = bias.view(-1, scale**2).t()  # (s * s, K)
    if some is not None:
        weight, bias = weight[some], bias[some]
    logits = F.linear(pixels, weight.flatten(0, 1), bias.flatten())
    return logits.view(len(pixels), len(bias), -1)


@dataclass(frozen=True)
class FaceAnswer:
    """What a backbone made of turned looks, turned back.

    Attributes:
        maps: (M, C, N, N), what `quick_head` reads; or (M, K, sN, sN), logits.
        head: None: the maps are logits.
        scale: s.
        subpixels: (s * s,) int64, for each sub-pixel its place in the turned block.
    """

    maps: torch.Tensor
    head: nn.Conv2d | None
    scale: int
    subpixels: torch.Tensor

    @classmethod
    def of(
        cls,
        backbone: nn.Module,
        planes: torch.Tensor,
        scale: int,
        symmetry: tuple[bool, bool, bool],
        tiling: Tiling | None,
    ) -> FaceAnswer:
        """Run the backbone on planes (M, C, N, N) of looks that were turned by ``symmetry``."""
        head = quick_head(backbone)
        network: Callable[[torch.Tensor], torch.Tensor] = backbone
        if head is not None:
            network = backbone.trunk  # type: ignore[assignment]
        maps = run_tiled(network, planes, tiling)
        _check_images(maps, planes, scale if head is None else 1)
        maps = turn_image_back(maps, symmetry)
        block = torch.arange(scale**2, device=maps.device).view(scale, -1)
        return cls(maps, head, scale, turn_image_back(block, symmetry).flatten())

    def logits(self, place: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """(P, s * s, K) of the low pixels at these indices of M, N and N."""
        face, u, v = place
        if self.head is not None:
            pixels = self.maps.permute(0, 2, 3, 1)[face, u, v]
            return head_logits(self.head, pixels, self.scale)[:, self.subpixels]
        count, channels, fine = self.maps.shape[:3]
        edge = fine // self.scale
        blocks = self.maps.reshape(count, channels, edge, self.scale, edge, self.scale)
        return blocks.permute(0, 2, 4, 3, 5, 1)[face, u, v].flatten(1, 2)


def _check_images(images: torch.Tensor, planes: torch.Tensor, scale: int) -> None:
    """Refuse what a plugin's network should not have made of (M, C, L, L) planes."""
    count, _, height, width = planes.shape
    found = tuple(images.shape)
    if len(found) != 4 or (found[0], *found[2:]) != (count, scale * height, scale * width):
        raise UnavailableError(
            f"backbone: expected images of shape ({count}, channels, {scale * height}, "
            f"{scale * width}), found {found}; mvd_toolkit.testing.check_backbone checks a plugin"
        )


def turn_image(images: torch.Tensor, symmetry: tuple[bool, bool, bool], axis: int) -> torch.Tensor:
    """Mirror the image axes ``axis`` and ``axis + 1``, then swap them, each where asked."""
    flip_u, flip_v, swap = symmetry
    dims = [axis + i for i, flip in enumerate((flip_u, flip_v)) if flip]
    images = images.flip(dims) if dims else images
    return images.transpose(axis, axis + 1) if swap else images


def turn_image_back(images: torch.Tensor, symmetry: tuple[bool, bool, bool]) -> torch.Tensor:
    """What `turn_image` made of the last two axes, as it was before."""
    flip_u, flip_v, swap = symmetry
    images = images.transpose(-2, -1) if swap else images
    dims = [axis for axis, flip in ((-2, flip_u), (-1, flip_v)) if flip]
    return images.flip(dims) if dims else images
