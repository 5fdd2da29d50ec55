"""What a view network sees of a low grid.

A *view* is the grid turned so that a face looks along the last axis: (N, N, N) boolean, indexed
``[u, v, depth]`` with ``u, v`` the face's image axes. Every feature is local and relative to the
surface that the pixel sees, so one network serves all faces, places and resolutions; only a border
close by is told, and only to a shape that spans the grid.

The *base* of a view is the grid that carving starts from: the low grid itself under the rule
*any* or *soft*, which contains the true shape; its dilation under *half* and *centre*, which do
not. Depths are told relative to the base's first voxel. Under *soft* the grid is where anything is
covered at all, and its columns show how much.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F

from mvd_toolkit.conventions import FACE_VIEWS, INPUT_RULES, LOW_RULES

_RINGS = (2, 4)  # distances, in pixels, of the neighbours whose relative depth is told
_DEPTH_UNIT = 8.0  # low voxels that relative depths and thicknesses are measured in
_BORDER_REACH = 4.0  # low voxels within which a border is told


@dataclass(frozen=True)
class FeatureConfig:
    """Which low voxels around the surface a pixel sees.

    Attributes:
        before: layers in front of the base's surface.
        behind: layers from the surface on.
        radius: neighbouring columns to each side, seen at the pixel's own depth.
        borders: tell how near the six borders are, along axes that the shape spans from end to end.
            A shape fitted to its grid ends just inside the border, which voxels do not say.
        soft: know the rule *soft*, and show coverage in the columns where it is given.
    """

    before: int = 4
    behind: int = 12
    radius: int = 1
    borders: bool = True
    soft: bool = True

    @property
    def channels(self) -> int:
        """How many feature planes there are."""
        columns = (2 * self.radius + 1) ** 2
        local = columns * (self.before + self.behind) + 8 * len(_RINGS) + 3
        return local + 6 * self.borders + len(self.rules)

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules that are told apart."""
        return INPUT_RULES if self.soft else LOW_RULES

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
        rule_index: (B,) int64, place of each grid's rule in `INPUT_RULES`.

    Returns:
        (B, N, N, N) bool.
    """
    superset = (rule_index == INPUT_RULES.index("any")) | (rule_index == INPUT_RULES.index("soft"))
    if bool(superset.all()):
        return grids
    return torch.where(superset[:, None, None, None], grids, dilate(grids))


def view_features(
    views: torch.Tensor,
    base_depth: torch.Tensor,
    rule_index: torch.Tensor,
    config: FeatureConfig,
    coverage: torch.Tensor | None = None,
) -> torch.Tensor:
    """Feature planes of views; all zero where the base has no silhouette.

    Planes: occupancy (or coverage) of the columns within ``radius``, from ``before`` layers in
    front of the pixel's own base depth to ``behind`` from it on; relative base depth of the eight
    neighbours at 2 and 4 pixels; silhouette; thickness from the first to the last voxel, fine and
    coarse; distances to the six borders; rule.

    Args:
        views: (M, N, N, N) bool, the low grids as the faces see them.
        base_depth: (M, N, N) int64, depth of the base, N where background.
        rule_index: (M,) int64, place in `INPUT_RULES`; *soft* is *any* to a ``config`` that does
            not know it.
        config: which voxels are seen.
        coverage: (M, N, N, N) float32, 0 or 1 where the rule is not *soft*; None where none is.

    Returns:
        (M, C, N, N) float32, C = ``config.channels``.
    """
    edge = views.shape[-1]
    silhouette = base_depth < edge
    depth = torch.where(silhouette, base_depth, 0)
    seen = coverage if coverage is not None and config.soft else views.to(torch.uint8)
    planes = [
        _columns(seen, depth, config),
        _relative_depths(base_depth, depth),
        _thickness(views, depth, silhouette),
    ]
    if config.borders:
        planes.append(_border_distances(views, depth))
    planes.append(_rule_planes(rule_index, edge, config))
    return torch.cat(planes, dim=1) * silhouette[:, None]


def _columns(seen: torch.Tensor, depth: torch.Tensor, config: FeatureConfig) -> torch.Tensor:
    edge, radius = seen.shape[-1], config.radius
    padded = F.pad(seen, (config.before, config.behind, radius, radius, radius, radius))
    window = config.before + config.behind
    index = depth[..., None] + torch.arange(window, device=seen.device)  # (M, N, N, window)
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


def _border_distances(views: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
    """(M, 6, N, N): low voxels to the border before and behind, along u, v and depth (there from
    the pixel's surface), in `_BORDER_REACH`; 1 where farther, and along axes not spanned.
    """
    edge = views.shape[-1]
    place = torch.arange(edge, device=views.device)
    before = torch.stack(
        [place[:, None].expand_as(depth), place[None].expand_as(depth), depth], dim=1
    )
    lines = views.flatten(2).any(2), views.any(3).any(1), views.flatten(1, 2).any(1)  # (M, N) each
    spans = torch.stack([line[:, 0] & line[:, -1] for line in lines], dim=1)  # (M, 3)
    distances = torch.stack([before, edge - 1 - before], dim=2).flatten(1, 2) / _BORDER_REACH
    spanned = spans.repeat_interleave(2, dim=1)[:, :, None, None]
    return torch.where(spanned, distances.clamp(max=1), 1.0)


def _rule_planes(rule_index: torch.Tensor, edge: int, config: FeatureConfig) -> torch.Tensor:
    if not config.soft:
        soft = rule_index == INPUT_RULES.index("soft")
        rule_index = rule_index.masked_fill(soft, INPUT_RULES.index("any"))
    one_hot = F.one_hot(rule_index, len(config.rules)).float()
    return one_hot[:, :, None, None].expand(-1, -1, edge, edge)
