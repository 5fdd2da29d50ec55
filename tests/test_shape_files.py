import pytest

from mvd_toolkit.errors import InputError
from mvd_toolkit.shape_files import family, find_shapes, listed_shapes


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return folder


def named(shapes):
    return [(shape.name, shape.up) for shape in shapes]


def test_shapenet_1_is_named_by_class_and_model(tmp_path):
    touch(tmp_path, "02691156/1a04/model.obj", "02691156/1a04/model.mtl", "03001627/9b/model.obj")
    assert named(find_shapes([tmp_path])) == [("02691156-1a04", "y"), ("03001627-9b", "y")]
    assert named(find_shapes([tmp_path / "02691156"])) == [("02691156-1a04", "y")]


def test_shapenet_2_leaves_its_voxel_files_alone(tmp_path):
    models = "02691156/1a04/models"
    touch(
        tmp_path,
        f"{models}/model_normalized.obj",
        f"{models}/model_normalized.solid.binvox",
        f"{models}/model_normalized.surface.binvox",
    )
    assert named(find_shapes([tmp_path])) == [("02691156-1a04", "y")]


def test_modelnet_stands_on_z(tmp_path):
    touch(tmp_path, "chair/train/chair_0001.off", "chair/test/chair_0890.off", "README.txt")
    assert named(find_shapes([tmp_path])) == [("chair_0890", "z"), ("chair_0001", "z")]
    assert named(find_shapes([tmp_path / "chair"], up="y"))[0] == ("chair_0890", "y")


def test_meshes_go_before_voxels_and_voxels_are_taken_without_them(tmp_path):
    touch(tmp_path, "a/table.stl", "b/table.binvox", "b/lamp_32.npz")
    assert named(find_shapes([tmp_path])) == [("table", "y")]
    assert named(find_shapes([tmp_path / "b"])) == [("lamp_32", "y"), ("table", "y")]


def test_a_list_names_shapes_as_their_folders_do(tmp_path):
    files = ["02691156/1a04/model.obj", "chair/train/chair_0001.off", "table.stl"]
    touch(tmp_path, *files)
    listed = listed_shapes(tmp_path / file for file in files)
    assert named(listed) == [("02691156-1a04", "y"), ("chair_0001", "z"), ("table", "y")]
    assert sorted(listed, key=str) == find_shapes([tmp_path])


def test_shapes_of_one_name_and_content_are_of_one_family(tmp_path):
    touch(tmp_path, "a/model.obj", "b/model.obj", "c/model.obj", "d/other.obj")
    (tmp_path / "c" / "model.obj").write_text("longer")
    families = [family(shape) for shape in find_shapes([tmp_path])]
    assert families == ["model 1", "model 1", "model 6", "other 1"]


def test_a_file_is_taken_whatever_its_suffix_and_none_twice(tmp_path):
    touch(tmp_path, "a.obj", "odd.shape")
    inputs = [tmp_path / "odd.shape", tmp_path, tmp_path / "a.obj"]
    assert [shape.path.name for shape in find_shapes(inputs)] == ["odd.shape", "a.obj"]
    assert find_shapes(find_shapes(inputs)) == find_shapes(inputs)


def test_a_folder_without_shapes_names_what_is_read(tmp_path):
    touch(tmp_path, "letter.txt")
    with pytest.raises(InputError, match=r"expected meshes or voxel files \(.*\.binvox.*\.stl"):
        find_shapes([tmp_path])
