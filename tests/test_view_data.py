import json

import numpy as np
import pytest
from PIL import Image
from viewed_shapes import make_tiny_views, shadow

from mvd_toolkit import io, r2n2
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import VoxelGrid
from mvd_toolkit.picture_batches import PictureBatches, mirror_axis
from mvd_toolkit.testing import make_tiny_dataset
from mvd_toolkit.view_data import ViewDataset, ViewedShape
from mvd_toolkit.views import SUFFIX, Camera, Views, encode, read_views, write_views


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return make_tiny_views(tmp_path_factory.mktemp("views") / "data")


def test_pictures_and_grids_come_together(dataset):
    data = ViewDataset(dataset, "train")
    assert (len(data), data.low, data.high, data.frame) == (7, 16, 32, "object")
    for index, shape in enumerate(data.shapes):
        target = data.target(index, 0)
        assert np.array_equal(shape.views.picture(0)[..., 3], shadow(target)[..., 3])
        assert np.array_equal(target, data.target(index, 1))


def test_the_grid_of_another_rule(dataset):
    whole, half = (ViewDataset(dataset, "train", rule=rule) for rule in ("any", "half"))
    assert half.target(0, 0).sum() < whole.target(0, 0).sum()
    assert whole.fingerprint != half.fingerprint
    with pytest.raises(UsageError, match="expected one of any, half, centre"):
        ViewDataset(dataset, "train", rule="soft")


def test_a_limit_keeps_the_same_shapes(dataset):
    few = ViewDataset(dataset, "train", limit=3)
    assert [s.id for s in few.shapes] == [
        s.id for s in ViewDataset(dataset, "train", limit=3).shapes
    ]
    assert len(few) == 3


def test_a_dataset_without_pictures_says_how_to_make_them(tmp_path):
    make_tiny_dataset(tmp_path / "plain")
    with pytest.raises(InputError, match="--views 24"):
        ViewDataset(tmp_path / "plain", "train")


def test_pictures_of_another_frame_are_refused(tmp_path):
    data = make_tiny_views(tmp_path / "data")
    about = json.loads((data / "dataset.json").read_text())
    about["views"]["frame"] = "viewer"
    (data / "dataset.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match="expected frame viewer, found object"):
        ViewDataset(data, "train")


def test_each_view_has_its_own_grid_in_frame_viewer(tmp_path):
    from dataclasses import replace

    data = make_tiny_views(tmp_path / "data")
    about = json.loads((data / "dataset.json").read_text())
    about["views"]["frame"] = "viewer"
    (data / "dataset.json").write_text(json.dumps(about))
    for split in ("train", "val"):
        for path in (data / split).glob(f"*{SUFFIX}"):
            lows = np.zeros((2, 16, 16, 1), np.uint64)
            lows[0, 3, 4, 0], lows[1, 5, 6, 0] = 1, 2
            seen = dict.fromkeys(("any", "half", "centre"), lows)
            write_views(path, replace(read_views(path), frame="viewer", lows=seen))
    viewed = ViewDataset(data, "train")
    assert np.argwhere(viewed.target(0, 0)).tolist() == [[3, 4, 0]]
    assert np.argwhere(viewed.target(0, 1)).tolist() == [[5, 6, 1]]
    assert mirror_axis(viewed) == "y"


def test_a_batch_depends_on_seed_and_step_alone(dataset):
    data = ViewDataset(dataset, "train")
    one, two = (PictureBatches(data, 4, 32, seed=5) for _ in range(2))
    stream = one.iterate(2)
    for step in (2, 3):
        mine, other = next(stream), two.batch(step)
        assert mine.pictures.equal(other.pictures)
        assert mine.target.equal(other.target)
    stream.close()
    assert not two.batch(3).pictures.equal(two.batch(4).pictures)
    assert mine.pictures.shape == (4, 3, 32, 32)
    assert 0 <= float(mine.pictures.min()) <= float(mine.pictures.max()) <= 1


def test_parts_of_a_batch_make_the_whole(dataset):
    import torch

    data = ViewDataset(dataset, "train")
    whole = PictureBatches(data, 4, 32).batch(1)
    halves = [PictureBatches(data, 4, 32, part=(n, 2)).batch(1) for n in range(2)]
    assert torch.cat([half.pictures for half in halves]).equal(whole.pictures)
    with pytest.raises(UsageError, match="multiple of the 3"):
        PictureBatches(data, 4, 32, part=(0, 3))


def test_a_mirrored_picture_has_a_mirrored_grid(dataset):
    """The pictures look along x, at a slab with a tower at its left end, where y is low."""
    dense = np.zeros((16, 16, 16), bool)
    dense[2:14, 2:14, 2:5] = dense[2:14, 2:5, 2:14] = True
    data = ViewDataset(dataset, "train")
    views = Views("object", "z", (Camera(0, 0, 3, 30),), encode([shadow(dense)]))
    lows = VoxelGrid.from_dense(dense).packed[None]
    data.shapes = [ViewedShape("tower", views, lows)]
    batch = PictureBatches(data, 40, 48, mirror="y").batch(0)
    turned = 0
    for picture, target in zip(batch.pictures.numpy(), batch.target.numpy(), strict=True):
        mirrored = not np.array_equal(target, dense)
        turned += mirrored
        assert np.array_equal(target, dense[:, ::-1] if mirrored else dense)
        paper = picture[:, 6:10, 22:26].mean(axis=(1, 2), keepdims=True)  # beside the tower
        seen = np.abs(picture - paper).sum(axis=0)
        left, right = seen[:24, :24].sum(), seen[:24, 24:].sum()
        assert (right > left) == mirrored
    assert 8 < turned < 32


def test_shapes_are_most_like_themselves_across_the_mirror(dataset):
    data = ViewDataset(dataset, "train")
    for shape in data.shapes:
        dense = np.zeros((16, 16, 16), bool)
        dense[2:14, 3:9, 2:5] = True  # symmetric along x alone
        shape.lows[:] = VoxelGrid.from_dense(dense).packed
    assert mirror_axis(data) == "x"


@pytest.fixture
def release(tmp_path):
    """A folder as 3D-R2N2 released it, with five models of two pictures."""
    for number in range(5):
        dense = np.zeros((32, 32, 32), bool)
        dense[4 : 10 + 3 * number, 2:20, 5:9] = True  # y up: 18 voxels high
        model = tmp_path / "ShapeNetVox32" / "03001627" / f"m{number}"
        model.mkdir(parents=True)
        io.save(VoxelGrid.from_dense(dense), model / "model.binvox")
        folder = tmp_path / "ShapeNetRendering" / "03001627" / f"m{number}" / "rendering"
        folder.mkdir(parents=True)
        for view in range(2):
            picture = np.zeros((137, 137, 4), np.uint8)
            picture[40:90, 30:100] = (200, 30 * view, 0, 255)
            Image.fromarray(picture).save(folder / f"{view:02d}.png")
        (folder / "rendering_metadata.txt").write_text("30 25 0 0.8 25\n60 25 0 0.8 25\n")
    return tmp_path


def test_the_release_of_r2n2_is_read_where_it_lies(release):
    parts = {split: ViewDataset(release, split) for split in ("train", "val", "test")}
    assert sum(map(len, parts.values())) == 5
    data = parts["train"]
    assert (data.low, data.high, data.frame) == (32, 0, "object")
    shape = data.shapes[0]
    assert shape.id.startswith("03001627-m")
    assert len(shape.views) == 2
    assert shape.views.picture(1).shape == (137, 137, 4)
    high = np.argwhere(data.target(0, 0))[:, 2]
    assert high.max() - high.min() + 1 == 18  # the vertical is z now


def test_a_release_with_a_grid_of_another_size(release):
    place = next((release / r2n2.GRIDS).rglob("*.binvox"))
    io.save(VoxelGrid.from_dense(np.ones((8, 8, 8), bool)), place, overwrite=True)
    with pytest.raises(InputError, match="expected 32³ voxels"):
        ViewDataset(release, "train")


def test_a_release_without_pictures(tmp_path):
    for part in ("ShapeNetRendering", "ShapeNetVox32"):
        (tmp_path / part).mkdir()
    with pytest.raises(InputError, match=r"rendering/00\.png"):
        ViewDataset(tmp_path, "train")
