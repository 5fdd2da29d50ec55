"""What a view network sees of a low grid.

A *view* is the grid turned so that a face looks along the last axis: (N, N, N) boolean, indexed
``[u, v, depth]`` with ``u, v`` the face's image axes. Every feature is local and relative to the
surface that the pixel sees, so one network serves all faces, places and resolutions.

The *base* of a view is the grid that carving starts from: the low grid itself under the rule
*any*, which contains the true shape; its dilation under *half* and *centre*, which do not.
Depths are told relative to the base's first voxel.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F

from mvd_toolkit.conventions import FACE_VIEWS, LOW_RULES

_RINGS = (2, 4)  # distances, in pixels, of the neighbours whose relative depth is told
_DEPTH_UNIT = 8.0  # low voxels that relative depths and thicknesses are measured in


@dataclass(frozen=True)
class FeatureConfig:
    """Which low voxels around the surface a pixel sees.

    Attributes:
        before: layers in front of the base's surface.
        behind: layers from the surface on.
        radius: neighbouring columns to each side, seen at the pixel's own depth.
    """

    before: int = 4
    behind: int = 12
    radius: int = 1

    @property
    def channels(self) -> int:
        """How many feature planes there are."""
        columns = (2 * self.radius + 1) ** 2
        return columns * (self.before + self.behind) + 8 * len(_RINGS) + 3 + len(LOW_RULES)

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON-able values."""
        return asdict(self)


def face_views(grids: torch.Tensor) -> torch.Tensor:
    """Turn grids so that each of the six faces looks along the last axis.

    Args:
        grids: (B, N, N, N).

    Returns:
        (B, 6, N, N, N), indexed ``[u, v, depth]``.
    """
    views = []
    for view in FACE_VIEWS:
        turned = grids.flip(1 + view.axis) if view.negative else grids
        views.append(turned.permute(0, *(1 + axis for axis in view.image_axes), 1 + view.axis))
    return torch.stack(views, dim=1)


def first_depth(views: torch.Tensor) -> torch.Tensor:
    """Depth of the first occupied voxel of each line, N where there is none.

    Args:
        views: (..., N, N, N) bool.

    Returns:
        (..., N, N) int64.
    """
    depth = views.to(torch.uint8).argmax(dim=-1)
    return torch.where(views.any(dim=-1), depth, views.shape[-1])


def dilate(grids: torch.Tensor) -> torch.Tensor:
    """Occupied wherever one of the 27 voxels around is. (B, N, N, N) bool in and out."""
    return F.max_pool3d(grids[:, None].float(), 3, stride=1, padding=1)[:, 0] > 0


def base_grids(grids: torch.Tensor, rule_index: torch.Tensor) -> torch.Tensor:
    """The grids that carving starts from.

    Args:
        grids: (B, N, N, N) bool, low grids (hulls).
        rule_index: (B,) int64, place of each grid's rule in `LOW_RULES`.

    Returns:
        (B, N, N, N) bool.
    """
    superset = rule_index == LOW_RULES.index("any")
    if bool(superset.all()):
        return grids
    return torch.where(superset[:, None, None, None], grids, dilate(grids))


def view_features(
    views: torch.Tensor,
    base_depth: torch.Tensor,
    rule_index: torch.Tensor,
    config: FeatureConfig,
) -> torch.Tensor:
    """Feature planes of views; all zero where the base has no silhouette.

    Planes: occupancy of the columns within ``radius``, from ``before`` layers in front of the
    pixel's own base depth to ``behind`` from it on; relative base depth of the eight neighbours at
    2 and 4 pixels; silhouette; thickness from the first to the last voxel, fine and coarse; rule.

    Args:
        views: (M, N, N, N) bool, the low grids as the faces see them.
        base_depth: (M, N, N) int64, depth of the base, N where background.
        rule_index: (M,) int64.
        config: which voxels are seen.

    Returns:
        (M, C, N, N) float32, C = ``config.channels``.
    """
    edge = views.shape[-1]
    silhouette = base_depth < edge
    depth = torch.where(silhouette, base_depth, 0)
    planes = torch.cat(
        [
            _columns(views, depth, config),
            _relative_depths(base_depth, depth),
            _thickness(views, depth, silhouette),
            _rule_planes(rule_index, edge),
        ],
        dim=1,
    )
    return planes * silhouette[:, None]


def _columns(views: torch.Tensor, depth: torch.Tensor, config: FeatureConfig) -> torch.Tensor:
    edge, radius = views.shape[-1], config.radius
    padded = F.pad(
        views.to(torch.uint8),
        (config.before, config.behind, radius, radius, radius, radius),
    )
    window = config.before + config.behind
    index = depth[..., None] + torch.arange(window, device=views.device)  # (M, N, N, window)
    columns = [
        padded[:, u : u + edge, v : v + edge].gather(-1, index)
        for u in range(2 * radius + 1)
        for v in range(2 * radius + 1)
    ]
    return torch.cat(columns, dim=-1).permute(0, 3, 1, 2).float()


def _relative_depths(base_depth: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
    edge, reach = base_depth.shape[-1], max(_RINGS)
    padded = F.pad(base_depth, (reach,) * 4, value=edge)
    planes = []
    for ring in _RINGS:
        for du in (-ring, 0, ring):
            for dv in (-ring, 0, ring):
                if du or dv:
                    u, v = reach + du, reach + dv
                    neighbour = padded[:, u : u + edge, v : v + edge]
                    planes.append((neighbour - depth) / _DEPTH_UNIT)
    return torch.stack(planes, dim=1).clamp(-1, 1)


def _thickness(views: torch.Tensor, depth: torch.Tensor, silhouette: torch.Tensor) -> torch.Tensor:
    thickness = (views.shape[-1] - first_depth(views.flip(-1)) - depth).clamp(min=0)
    fine = (thickness / _DEPTH_UNIT).clamp(max=1)
    coarse = (thickness / (4 * _DEPTH_UNIT)).clamp(max=1)
    return torch.stack([silhouette.float(), fine, coarse], dim=1)


def _rule_planes(rule_index: torch.Tensor, edge: int) -> torch.Tensor:
    one_hot = F.one_hot(rule_index, len(LOW_RULES)).float()
    return one_hot[:, :, None, None].expand(-1, -1, edge, edge)
