"""The operations as one would write them in torch, on dense tensors of any device.

Grids are (B, N, N, N) bool, ODMs (B, 6, N, N) int16. `extract_odms` and `project_odms` are Kaolin's
way: each voxel is weighed by its distance and the largest weight of a line taken; votes are counted
voxel by voxel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from mvd_toolkit.conventions import FACE_VIEWS

FAR = 20000  # a depth that differs too much from any other


def extract_odms(dense: torch.Tensor) -> torch.Tensor:
    """Weights 1 to N towards the viewer, multiplied, and the maximum along the axis."""
    n = dense.shape[-1]
    weights = torch.arange(1, n + 1, dtype=torch.int16, device=dense.device)
    maps = []
    for face in FACE_VIEWS:
        towards = weights if face.negative else weights.flip(0)
        shape = [1, 1, 1, 1]
        shape[1 + face.axis] = n
        maps.append(n - (dense * towards.view(shape)).amax(1 + face.axis))
    return torch.stack(maps, dim=1)


def project_odms(odms: torch.Tensor, votes: int = 1) -> torch.Tensor:
    """Count, voxel by voxel, the faces that see past it."""
    n = odms.shape[-1]
    places = torch.arange(n, dtype=torch.int16, device=odms.device)
    seen = torch.zeros((len(odms), n, n, n), dtype=torch.uint8, device=odms.device)
    for i, face in enumerate(FACE_VIEWS):
        distance = places.flip(0) if face.negative else places
        shape = [1, 1, 1, 1]
        shape[1 + face.axis] = n
        seen += distance.view(shape) < odms[:, i].unsqueeze(1 + face.axis)
    return seen < votes


def carve(low: torch.Tensor, odms: torch.Tensor, scale: int, votes: int = 2) -> torch.Tensor:
    """Structure and detail, each by counting votes."""
    n = odms.shape[-1]
    background = odms >= n
    structure = project_odms(torch.where(background, n, 0).to(odms.dtype), votes)
    detail = project_odms(torch.where(background, 0, odms), 1)
    return upsample_nearest(low, scale) & structure & detail


def smooth_odms(odms: torch.Tensor, threshold: int, window: int = 7) -> torch.Tensor:
    """The maps shifted 49 times, with sums of differences."""
    n, radius = odms.shape[-1], window // 2
    depths = odms.masked_fill(odms >= n, FAR)
    padded = F.pad(depths, (radius,) * 4, value=FAR)
    total, count = torch.zeros_like(depths), torch.zeros_like(depths)
    for du in range(window):
        for dv in range(window):
            difference = padded[..., du : du + n, dv : dv + n] - depths
            counts = difference.abs() < threshold
            total += difference * counts
            count += counts
    mean = (depths + total.float() / count).round().to(odms.dtype)
    return torch.where(odms < n, mean, odms)


def pack(dense: torch.Tensor) -> torch.Tensor:
    """64 bits shifted and summed."""
    bits = torch.arange(64, device=dense.device)
    return (dense.unflatten(-1, (-1, 64)).long() << bits).sum(-1)


def unpack(packed: torch.Tensor) -> torch.Tensor:
    bits = torch.arange(64, device=packed.device)
    return (packed[..., None] >> bits & 1).bool().flatten(-2)


def pool_any(dense: torch.Tensor, factor: int) -> torch.Tensor:
    return F.max_pool3d(dense[:, None].half(), factor)[:, 0] > 0


def pool_half(dense: torch.Tensor, factor: int) -> torch.Tensor:
    return F.avg_pool3d(dense[:, None].float(), factor)[:, 0] >= 0.5


def upsample_nearest(dense: torch.Tensor, factor: int) -> torch.Tensor:
    for axis in (1, 2, 3):
        dense = dense.repeat_interleave(factor, axis)
    return dense


def iou(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    both, either = (a & b).flatten(1).sum(1), (a | b).flatten(1).sum(1)
    return both.double() / either


def voxelize(vertices: torch.Tensor, faces: torch.Tensor, n: int) -> torch.Tensor:
    """Every voxel of each triangle's box against 13 separating axes, in float64: (n, n, n) bool."""
    corners = vertices[faces]  # (F, 3, 3)
    low = (corners.amin(1).ceil().long() - 1).clamp(0, n - 1)
    sizes = corners.amax(1).floor().long().clamp(0, n - 1) - low + 1
    cells = sizes.prod(1)
    face = torch.repeat_interleave(torch.arange(len(faces), device=faces.device), cells)
    place = torch.arange(len(face), device=faces.device) - (cells.cumsum(0) - cells)[face]
    of = sizes[face]
    steps = [place // (of[:, 1] * of[:, 2]), place // of[:, 2] % of[:, 1], place % of[:, 2]]
    voxel = low[face] + torch.stack(steps, dim=1)
    met = voxel[_meets(corners[face] - (voxel + 0.5)[:, None])]
    grid = torch.zeros((n, n, n), dtype=torch.bool, device=faces.device)
    grid[met[:, 0], met[:, 1], met[:, 2]] = True
    return grid


def _meets(corners: torch.Tensor) -> torch.Tensor:
    """Whether triangles (Q, 3, 3) meet the unit cube around the origin."""
    edges = corners.roll(-1, 1) - corners
    units = torch.eye(3, dtype=corners.dtype, device=corners.device)
    crossed = torch.linalg.cross(edges[:, :, None], units[None, None], dim=-1).flatten(1, 2)
    normal = torch.linalg.cross(edges[:, 0], edges[:, 1], dim=-1)[:, None]
    axes = torch.cat([crossed, normal, units.expand(len(corners), 3, 3)], dim=1)  # (Q, 13, 3)
    along = corners @ axes.mT  # (Q, 3, 13)
    reach = axes.abs().sum(-1) / 2
    return ((along.amin(1) <= reach) & (along.amax(1) >= -reach)).all(1)
