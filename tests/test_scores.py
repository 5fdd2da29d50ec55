"""Each built-in metric against scipy, trimesh or plain NumPy."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage
from scipy.spatial.distance import cdist
from strategies import noise

from mvd_toolkit import InputError, UnavailableError, UsageError, VoxelGrid, io, plugins, score
from mvd_toolkit.comparison import Comparison, Sampling
from mvd_toolkit.evaluate import default_metrics, score_pair
from mvd_toolkit.metrics.volume import boundary, boundary_width
from mvd_toolkit.surface_samples import occupied_box, sample_surface

Dense = npt.NDArray[np.bool_]
SHAPES = [(7, 5, 70), (1, 1, 1), (16, 16, 64), (33, 20, 12)]


def blob(shape: tuple[int, int, int], seed: int) -> Dense:
    """Smooth lumps."""
    values = np.random.default_rng(seed).normal(size=shape)
    smooth = ndimage.gaussian_filter(values, 3)
    return np.asarray(smooth > np.quantile(smooth, 0.7))


def pair(shape: tuple[int, int, int]) -> tuple[Dense, Dense]:
    return noise(shape, 0.4, 1), noise(shape, 0.5, 2)


@pytest.fixture(scope="module")
def lumps() -> tuple[VoxelGrid, VoxelGrid]:
    """A truth somewhere in the world, and a prediction that is near it."""
    dense = blob((40, 44, 36), 0)
    near = blob((40, 44, 36), 0)
    near[:20] = ndimage.binary_erosion(near[:20])
    near[30:] = ndimage.binary_dilation(near[30:])
    truth = VoxelGrid.from_dense(dense, (3.0, -1.0, 2.0), 0.25)
    return VoxelGrid.from_dense(near), truth


@pytest.mark.parametrize("shape", SHAPES)
def test_overlap_is_that_of_numpy(shape: tuple[int, int, int]) -> None:
    a, b = pair(shape)
    found = score(VoxelGrid.from_dense(a), VoxelGrid.from_dense(b), ["iou", "precision", "recall"])
    if not a.any() or not b.any():
        return
    assert found["iou"] == pytest.approx((a & b).sum() / (a | b).sum(), abs=1e-12)
    assert found["precision"] == pytest.approx((a & b).sum() / a.sum(), abs=1e-12)
    assert found["recall"] == pytest.approx((a & b).sum() / b.sum(), abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("width", [1, 2, 5])
def test_boundary_is_that_of_scipy(shape: tuple[int, int, int], width: int) -> None:
    dense = ndimage.binary_dilation(noise(shape, 0.3, 7), iterations=2)
    inner = ndimage.binary_erosion(dense, np.ones((3, 3, 3)), iterations=width, border_value=0)
    found = boundary(VoxelGrid.from_dense(dense), width).dense()
    assert np.array_equal(found, dense & ~inner)


def test_boundary_iou_compares_boundaries(lumps: tuple[VoxelGrid, VoxelGrid]) -> None:
    pred, truth = lumps
    width = boundary_width(truth)
    a, b = (
        g.dense() & ~ndimage.binary_erosion(g.dense(), np.ones((3, 3, 3)), iterations=width)
        for g in lumps
    )
    assert score(pred, truth, ["boundary_iou"]) == {
        "boundary_iou": pytest.approx((a & b).sum() / (a | b).sum())
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_components_are_those_of_scipy(shape: tuple[int, int, int]) -> None:
    a, b = pair(shape)
    found = score(VoxelGrid.from_dense(a), VoxelGrid.from_dense(b), ["components"])
    expected = {"components.pred": ndimage.label(a)[1], "components.truth": ndimage.label(b)[1]}
    assert found == expected


def test_views_are_those_of_numpy(lumps: tuple[VoxelGrid, VoxelGrid]) -> None:
    pred, truth = lumps
    names = ["silhouette_iou", "silhouettes", "depth_error", "depths"]
    found = score(pred, truth, names)
    n = max(truth.shape)
    a, b = (np.pad(g.dense(), [(0, n - e) for e in g.shape]) for g in lumps)
    ious, errors = [], []
    for axis, name in ((2, "z"), (1, "y"), (0, "x")):
        for side, turned in (("neg", True), ("pos", False)):
            one, two = ((np.flip(g, axis) if turned else g) for g in (a, b))
            seen = one.any(axis), two.any(axis)
            ious.append((seen[0] & seen[1]).sum() / (seen[0] | seen[1]).sum())
            both = seen[0] & seen[1]
            depth = np.abs(one.argmax(axis) - two.argmax(axis))[both]
            errors.append(depth.mean())
            assert found[f"silhouettes.{name}_{side}"] == pytest.approx(ious[-1])
            assert found[f"depths.{name}_{side}"] == pytest.approx(errors[-1])
    assert found["silhouette_iou"] == pytest.approx(np.mean(ious))
    assert found["depth_error"] == pytest.approx(np.mean(errors))


# --- surfaces -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(7, 5, 70), (3, 3, 3), (9, 1, 64)])
def test_samples_lie_on_the_surface(shape: tuple[int, int, int]) -> None:
    trimesh = pytest.importorskip("trimesh")
    grid = VoxelGrid.from_dense(noise(shape, 0.3, 4), (1.0, 2.0, -3.0), (0.5, 0.25, 2.0))
    mesh = io.surface_mesh(grid, smooth=False, apart=0)
    points, normals = sample_surface(grid, 100)
    _, distance, _ = trimesh.proximity.closest_point_naive(
        trimesh.Trimesh(mesh.vertices, mesh.faces, process=False), points
    )
    assert distance.max() < 1e-6
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1)


def test_samples_are_uniform_by_area() -> None:
    dense = np.zeros((4, 2, 66), bool)
    dense[1:3, :, 1:] = True
    grid = VoxelGrid.from_dense(dense, spacing=(1.0, 2.0, 0.5))
    points = sample_surface(grid, 40_000).points
    sides = {"x": 2 * 4 * 32.5, "y": 2 * 2 * 32.5, "z": 2 * 2 * 4.0}
    on = {
        "x": np.isin(points[:, 0], (1, 3)).sum(),
        "y": np.isin(points[:, 1], (0, 4)).sum(),
        "z": np.isin(points[:, 2], (0.5, 33)).sum(),
    }
    for side, area in sides.items():
        share = area / sum(sides.values())
        assert on[side] / 40_000 == pytest.approx(share, abs=4 * math.sqrt(share / 40_000))
    along = points[np.isin(points[:, 0], (1, 3)), 2]
    assert np.histogram(along, 13, (0.5, 33))[0].std() < 0.05 * len(along) / 13


def test_samples_of_nothing() -> None:
    assert len(sample_surface(VoxelGrid.from_dense(np.zeros((3, 3, 3), bool)), 10).points) == 0


def test_normals_of_a_ball_point_outward() -> None:
    dense = np.linalg.norm(np.indices((48,) * 3).T - 23.5, axis=-1) < 20
    points, normals = sample_surface(VoxelGrid.from_dense(dense), 500)
    outward = (points - 24) / np.linalg.norm(points - 24, axis=1, keepdims=True)
    assert (normals * outward).sum(1).min() > 0.9


@pytest.mark.parametrize("shape", SHAPES)
def test_occupied_box(shape: tuple[int, int, int]) -> None:
    dense = noise(shape, 0.02, 3)
    where = np.argwhere(dense)
    box = occupied_box(VoxelGrid.from_dense(dense))
    if not len(where):
        assert box is None
    else:
        assert box is not None
        assert np.array_equal(box[0], where.min(0))
        assert np.array_equal(box[1], where.max(0) + 1)


@pytest.fixture(scope="module")
def compared(lumps: tuple[VoxelGrid, VoxelGrid]) -> Comparison:
    return Comparison(*lumps, Sampling(points=700, seed=3))


def test_distances_are_those_of_all_pairs(compared: Comparison) -> None:
    """Chamfer, F-scores and normal consistency from the (700, 700) table of distances."""
    sampling = compared.sampling
    names = ["chamfer", "chamfer_l2", "fscore", "fscore_2tau", "fscore_1pct", "normal_consistency"]
    found = score(compared.pred, compared.truth, names, sampling=sampling)
    p, t = compared.pred_samples, compared.truth_samples
    table = cdist(p.points, t.points)
    sides = np.ptp(np.argwhere(compared.truth.dense()), axis=0) + 1
    longest, diagonal = 0.25 * sides.max(), 0.25 * np.linalg.norm(sides)
    there, back = table.min(1), table.min(0)
    assert found["chamfer"] == pytest.approx((there.mean() + back.mean()) / 2 / longest)
    squares = (there**2).mean() + (back**2).mean()
    assert found["chamfer_l2"] == pytest.approx(squares / longest**2)
    for name, tau in (
        ("fscore", 1e-2 / 0.57 * diagonal),
        ("fscore_2tau", math.sqrt(2e-4) / 0.57 * diagonal),
        ("fscore_1pct", 0.01 * longest),
    ):
        shares = (there <= tau).mean(), (back <= tau).mean()
        assert found[name] == pytest.approx(2 * shares[0] * shares[1] / sum(shares))
    cosines = np.abs(p.normals @ t.normals.T)
    expected = (
        cosines[np.arange(700), table.argmin(1)].mean()
        + cosines[table.argmin(0), np.arange(700)].mean()
    ) / 2
    assert found["normal_consistency"] == pytest.approx(expected)


def test_chamfer_agrees_with_trimesh(lumps: tuple[VoxelGrid, VoxelGrid]) -> None:
    """Points drawn by trimesh, and distances to the triangles themselves."""
    trimesh = pytest.importorskip("trimesh")
    pred, truth = lumps
    moved = VoxelGrid(pred.packed, truth.shape, truth.origin, truth.spacing)
    meshes = [
        trimesh.Trimesh(m.vertices, m.faces, process=False)
        for m in (
            io.surface_mesh(moved, smooth=False, apart=0),
            io.surface_mesh(truth, smooth=False, apart=0),
        )
    ]
    clouds = [
        trimesh.sample.sample_surface(mesh, 60_000, seed=i)[0] for i, mesh in enumerate(meshes)
    ]
    from scipy.spatial import cKDTree

    there = cKDTree(clouds[1]).query(clouds[0])[0].mean()
    back = cKDTree(clouds[0]).query(clouds[1])[0].mean()
    longest = meshes[1].extents.max()
    found = score(pred, truth, ["chamfer"], sampling=Sampling(60_000))["chamfer"]
    assert found == pytest.approx((there + back) / 2 / longest, rel=0.02)


def test_volumes_agree_with_trimesh(lumps: tuple[VoxelGrid, VoxelGrid]) -> None:
    trimesh = pytest.importorskip("trimesh")
    meshes = (io.surface_mesh(grid, smooth=False, apart=0) for grid in lumps)
    pred, truth = (trimesh.Trimesh(m.vertices, m.faces, process=False).volume for m in meshes)
    found = score(*lumps, ["volume_ratio"])["volume_ratio"]
    assert found == pytest.approx(pred / truth * np.prod(lumps[1].spacing))


def test_distances_agree_with_open3d(compared: Comparison) -> None:
    """Its own F-score and Chamfer distance of the same points."""
    geometry = pytest.importorskip("open3d").t.geometry
    pred, truth = (
        geometry.PointCloud(samples.points.astype(np.float32))
        for samples in (compared.pred_samples, compared.truth_samples)
    )
    diagonal, longest = np.linalg.norm(compared.extent), compared.extent.max()
    radii = [1e-2 / 0.57 * diagonal, math.sqrt(2e-4) / 0.57 * diagonal, 0.01 * longest]
    chamfer, *fscores = pred.compute_metrics(
        truth,
        [geometry.Metric.ChamferDistance, geometry.Metric.FScore],
        geometry.MetricParameters(fscore_radius=radii),
    ).numpy()
    names = ["fscore", "fscore_2tau", "fscore_1pct", "chamfer"]
    found = score_pair(compared, names)
    assert found["chamfer"] == pytest.approx(chamfer / 2 / longest, rel=1e-4)
    assert [found[name] for name in names[:3]] == pytest.approx(
        [f / 100 for f in fscores], abs=2e-3
    )


def test_views_agree_with_open3d(lumps: tuple[VoxelGrid, VoxelGrid]) -> None:
    """Rays cast at the triangles of the surface, a ray a pixel."""
    open3d = pytest.importorskip("open3d")
    found = score(*lumps, ["silhouettes", "depths"])
    n = max(lumps[0].shape)
    for axis, name in ((2, "z"), (1, "y"), (0, "x")):
        for side, sign in (("neg", -1), ("pos", 1)):
            pred, truth = (cast(open3d, VoxelGrid(g.packed, g.shape), n, axis, sign) for g in lumps)
            both, either = (pred < np.inf) & (truth < np.inf), (pred < np.inf) | (truth < np.inf)
            assert found[f"silhouettes.{name}_{side}"] == pytest.approx(both.sum() / either.sum())
            error = np.abs(pred[both] - truth[both]).mean()
            assert found[f"depths.{name}_{side}"] == pytest.approx(error, abs=1e-4)


def cast(open3d: Any, grid: VoxelGrid, n: int, axis: int, sign: int) -> npt.NDArray[np.float32]:
    """(n, n) how far the first triangle is along an axis, voxels; infinite where there is none."""
    mesh = io.surface_mesh(grid, smooth=False, apart=0)
    scene = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(mesh.vertices.astype(np.float32), mesh.faces.astype(np.uint32))
    rays = np.zeros((n, n, 6), np.float32)
    across = [a for a in range(3) if a != axis]
    rays[..., across] = np.moveaxis(np.indices((n, n)), 0, -1) + 0.5
    rays[..., axis] = 0 if sign > 0 else n
    rays[..., 3 + axis] = sign
    hit: npt.NDArray[np.float32] = scene.cast_rays(open3d.core.Tensor(rays))["t_hit"].numpy()
    return hit


def test_predictions_share_their_truth(compared: Comparison) -> None:
    other = compared.against(compared.truth)
    assert other.truth_samples is compared.truth_samples
    assert other.pred_samples is not compared.pred_samples
    expected = score(compared.truth, compared.truth, sampling=compared.sampling)
    assert score_pair(other, default_metrics()) == expected


# --- edges of the definitions -------------------------------------------------------------------


def test_a_perfect_prediction() -> None:
    grid = VoxelGrid.from_dense(blob((30, 30, 30), 5))
    found = score(grid, grid)
    assert list(found) == default_metrics()
    assert found["iou"] == found["precision"] == found["boundary_iou"] == 1
    assert found["depth_error"] == 0
    assert found["fscore"] == pytest.approx(1, abs=1e-3)
    assert found["chamfer"] < 0.01


def test_both_empty() -> None:
    empty = VoxelGrid.from_dense(np.zeros((3, 3, 3), bool))
    found = score(empty, empty)
    assert found["iou"] == found["precision"] == found["recall"] == found["fscore"] == 1
    assert found["chamfer"] == found["depth_error"] == 0
    assert not any(map(math.isnan, found.values()))


def test_one_empty() -> None:
    empty, full = (VoxelGrid.from_dense(np.full((3, 3, 3), v)) for v in (False, True))
    for pred, truth in ((empty, full), (full, empty)):
        found = score(pred, truth)
        assert found["iou"] == found["fscore"] == found["boundary_iou"] == 0
        assert math.isnan(found["chamfer"])
        assert math.isnan(found["normal_consistency"])
        assert math.isnan(found["depth_error"])


def test_shapes_must_agree() -> None:
    a = VoxelGrid.from_dense(np.zeros((4, 4, 4), bool))
    b = VoxelGrid.from_dense(np.zeros((8, 4, 4), bool))
    with pytest.raises(InputError, match=r"expected 8x4x4 as the truth has, found 4x4x4.*mvd conv"):
        score(a, b)


def test_numbers_of_points_make_sense() -> None:
    with pytest.raises(UsageError, match="points: expected at least 1, found 0"):
        Sampling(points=0)


# --- metrics of others --------------------------------------------------------------------------

THIRD_PARTY = """
from mvd_toolkit import hookimpl
from mvd_toolkit.specs import MetricSpec

@hookimpl
def mvd_register_metrics(register):
    register(MetricSpec("dice", lambda pair: 2 * pair.in_both / (pair.in_pred + pair.in_truth)))
    register(MetricSpec("broken", lambda pair: 1 / 0, default=False))
"""


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "dice_metric.py").write_text(THIRD_PARTY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("MVD_PLUGINS", "dice_metric")
    plugins.reload_plugins()
    yield
    monkeypatch.undo()
    sys.modules.pop("dice_metric", None)
    plugins.reload_plugins()


@pytest.mark.usefixtures("third_party")
def test_plugins_add_metrics() -> None:
    a = VoxelGrid.from_dense([[[1, 1, 0]]])
    b = VoxelGrid.from_dense([[[0, 1, 0]]])
    assert score(a, b)["dice"] == pytest.approx(2 / 3)
    assert plugins.provider("metric", "dice").module == "dice_metric"
    with pytest.raises(UnavailableError, match="metric 'broken' failed: ZeroDivisionError"):
        score(a, b, ["broken"])
    with pytest.raises(UnavailableError, match="no metric 'kappa': these are installed: boundary"):
        score(a, b, ["kappa"])
