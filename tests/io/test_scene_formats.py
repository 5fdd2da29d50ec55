"""3MF and glTF: meshes that a scene puts together."""

from __future__ import annotations

import base64
import json
import locale
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from mvd_toolkit import io
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.grid import VoxelGrid

WriteBytes = Callable[..., Path]
SUFFIXES = (".3mf", ".glb", ".gltf")


def ball() -> trimesh.Trimesh:
    sphere = trimesh.creation.icosphere(subdivisions=2)
    return sphere.apply_translation([3, -4, 5.5])


def as_trimesh(mesh: io.Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def assert_same_solid(found: io.Mesh, expected: trimesh.Trimesh) -> None:
    """As many triangles, as much volume (so the same way around), in the same place."""
    mesh = as_trimesh(found)
    assert len(mesh.faces) == len(expected.faces)
    assert mesh.volume == pytest.approx(expected.volume, rel=1e-5)
    assert np.allclose(mesh.bounds, expected.bounds, atol=1e-5)
    assert np.allclose(mesh.triangles_center.mean(0), expected.triangles_center.mean(0), atol=1e-5)


def scene() -> trimesh.Scene:
    """A ball twice, turned and moved, and a box in a mirror."""
    made = trimesh.Scene()
    turned = trimesh.transformations.rotation_matrix(0.7, [1, 2, 3], [0.5, 0, 0])
    turned[:3, 3] += [10, 0, 0]
    made.add_geometry(ball(), node_name="one", geom_name="ball", transform=turned)
    made.graph.update("two", geometry="ball", matrix=np.diag([0.5, 0.5, 2, 1]))
    made.add_geometry(trimesh.creation.box(), transform=np.diag([2.0, -1, 1, 1]))
    return made


class TestBoth:
    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_round_trip(self, tmp_path: Path, suffix: str) -> None:
        source = io.Mesh(ball().vertices, ball().faces)
        io.save_mesh(source, tmp_path / f"a{suffix}")
        assert io.sniff(tmp_path / f"a{suffix}").suffixes == (suffix,)
        assert_same_solid(io.load_mesh(tmp_path / f"a{suffix}"), ball())
        io.save_mesh(source, tmp_path / "again", format=suffix[1:])
        assert (tmp_path / "again").read_bytes() == (tmp_path / f"a{suffix}").read_bytes()
        assert io.sniff(tmp_path / "again").suffixes == (suffix,)

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_surface_of_a_grid_is_closed(
        self, tmp_path: Path, grid: VoxelGrid, suffix: str
    ) -> None:
        io.save(grid, tmp_path / f"a{suffix}")
        found = io.load_mesh(tmp_path / f"a{suffix}")
        assert as_trimesh(found).is_watertight
        expected = io.surface_mesh(grid)
        assert np.allclose(found.vertices.min(0), expected.vertices.min(0), atol=1e-5)
        assert np.allclose(found.vertices.max(0), expected.vertices.max(0), atol=1e-5)

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_an_empty_mesh_is_written_and_refused(self, tmp_path: Path, suffix: str) -> None:
        empty = io.Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
        io.save_mesh(empty, tmp_path / f"a{suffix}")
        with pytest.raises(InputError, match="found no face"):
            io.load_mesh(tmp_path / f"a{suffix}")

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_limits(self, tmp_path: Path, suffix: str) -> None:
        io.save_mesh(io.Mesh(ball().vertices, ball().faces), tmp_path / f"a{suffix}")
        with pytest.raises(InputError, match=r"MVD_MAX_FACES raises the limit|from 0 to 150"):
            io.load_mesh(tmp_path / f"a{suffix}", limits=io.Limits(faces=50))


class TestGltf:
    def test_scene_of_trimesh(self, tmp_path: Path) -> None:
        scene().export(tmp_path / "a.glb")
        assert_same_solid(io.load_mesh(tmp_path / "a.glb"), scene().to_mesh())

    def test_gltf_of_trimesh_with_files_beside_it(self, tmp_path: Path) -> None:
        for name, content in trimesh.exchange.gltf.export_gltf(scene()).items():
            (tmp_path / name).write_bytes(content)
        assert_same_solid(io.load_mesh(tmp_path / "model.gltf"), scene().to_mesh())

    def test_read_by_trimesh(self, tmp_path: Path) -> None:
        for name in ("a.glb", "a.gltf"):
            io.save_mesh(io.Mesh(ball().vertices, ball().faces), tmp_path / name)
            found = trimesh.load(tmp_path / name, force="mesh")
            assert found.is_watertight
            assert np.allclose(found.bounds, ball().bounds, atol=1e-6)

    def test_corners_at_one_place_are_one_vertex(self, tmp_path: Path) -> None:
        flat = ball()
        flat.unmerge_vertices()
        flat.export(tmp_path / "a.glb")
        assert len(io.load_mesh(tmp_path / "a.glb").vertices) == len(ball().vertices)


SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)


def document(**changes: Any) -> dict[str, Any]:
    """A square of two triangles by its numbers; ``changes`` replace top-level members."""
    corners = np.array([0, 1, 2, 0, 2, 3], np.uint16)
    data = SQUARE.tobytes() + corners.tobytes()
    made: dict[str, Any] = {
        "asset": {"version": "2.0"},
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5123, "count": 6, "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": 48},
            {"buffer": 0, "byteOffset": 48, "byteLength": 12},
        ],
        "buffers": [
            {
                "byteLength": 60,
                "uri": "data:application/octet-stream;base64," + base64.b64encode(data).decode(),
            }
        ],
    }
    return made | changes


def accessor(number: int, **changes: Any) -> list[dict[str, Any]]:
    accessors: list[dict[str, Any]] = document()["accessors"]
    accessors[number] |= changes
    return accessors


def primitive(**changes: Any) -> list[dict[str, Any]]:
    return [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1} | changes]}]


class TestGltfByHand:
    def load(self, write_bytes: WriteBytes, content: dict[str, Any]) -> io.Mesh:
        return io.load_mesh(write_bytes("a.gltf", json.dumps(content).encode()))

    def test_two_triangles(self, write_bytes: WriteBytes) -> None:
        mesh = self.load(write_bytes, document())
        assert sorted(mesh.vertices.tolist()) == sorted(SQUARE.tolist())
        assert len(mesh.faces) == 2

    @pytest.mark.parametrize(
        ("node", "highest"),
        [
            ({"translation": [5, 6, 7]}, [6, 7, 7]),
            ({"scale": [2, 3, 4], "translation": [1, 0, 0]}, [3, 3, 0]),
            ({"rotation": [0, 0, 0.5**0.5, 0.5**0.5]}, [0, 1, 0]),
            ({"matrix": [0, 2, 0, 0, -1, 0, 0, 0, 0, 0, 1, 0, 9, 9, 9, 1]}, [9, 11, 9]),
        ],
    )
    def test_transforms(
        self, write_bytes: WriteBytes, node: dict[str, Any], highest: list[float]
    ) -> None:
        mesh = self.load(write_bytes, document(nodes=[{"mesh": 0} | node]))
        assert np.allclose(mesh.vertices.max(axis=0), highest, atol=1e-12)

    def test_a_mirror_turns_triangles_around(self, write_bytes: WriteBytes) -> None:
        for scale, up in (([1, 1, 1], 1), ([-1, 1, 1], 1), ([-1, -1, -1], 1)):
            mesh = self.load(write_bytes, document(nodes=[{"mesh": 0, "scale": scale}]))
            a, b, c = mesh.vertices[mesh.faces[0]]
            assert np.sign(np.cross(b - a, c - a)[2]) == up * np.sign(scale[2])

    @pytest.mark.parametrize(
        ("mode", "corners", "area"),
        [(5, [0, 1, 3, 2], 1.0), (6, [0, 1, 2, 3], 1.0), (5, [0, 1], None), (1, [0, 1], None)],
    )
    def test_modes(
        self, write_bytes: WriteBytes, mode: int, corners: list[int], area: float | None
    ) -> None:
        data = SQUARE.tobytes() + np.array(corners, np.uint16).tobytes()
        uri = "data:;base64," + base64.b64encode(data.ljust(60, b"\0")).decode()
        content = document(
            meshes=primitive(mode=mode),
            accessors=accessor(1, count=len(corners)),
            buffers=[{"byteLength": 60, "uri": uri}],
        )
        if area is None:
            with pytest.raises(InputError, match="found no face"):
                self.load(write_bytes, content)
            return
        mesh = as_trimesh(self.load(write_bytes, content))
        assert mesh.area == pytest.approx(area)
        assert (mesh.face_normals[:, 2] > 0).all()

    def test_whole_numbers_and_sparse_values(self, write_bytes: WriteBytes) -> None:
        points = np.array([[0, 0, 0, 0], [127, 0, 0, 0], [127, 127, 0, 0], [0, 127, 0, 0]], np.int8)
        where = np.array([2], np.uint8)
        other = np.array([[-127, -128, 127, 0]], np.int8)
        data = points.tobytes() + bytes([0, 1, 2, 0, 2, 3]) + where.tobytes() + other.tobytes()
        content = document(
            accessors=[
                {
                    **{"bufferView": 0, "componentType": 5120, "count": 4, "type": "VEC3"},
                    "normalized": True,
                    "sparse": {
                        "count": 1,
                        "indices": {"bufferView": 2, "componentType": 5121},
                        "values": {"bufferView": 3},
                    },
                },
                {"bufferView": 1, "componentType": 5121, "count": 6, "type": "SCALAR"},
            ],
            bufferViews=[
                {"buffer": 0, "byteLength": 16, "byteStride": 4},
                {"buffer": 0, "byteOffset": 16, "byteLength": 6},
                {"buffer": 0, "byteOffset": 22, "byteLength": 1},
                {"buffer": 0, "byteOffset": 23, "byteLength": 4},
            ],
            buffers=[{"byteLength": 27, "uri": "data:;base64," + base64.b64encode(data).decode()}],
        )
        mesh = self.load(write_bytes, content)
        assert mesh.vertices.tolist() == [[-1, -1, 1], [0, 0, 0], [0, 1, 0], [1, 0, 0]]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"asset": {"version": "1.0"}}, "expected glTF 2, found version '1.0'"),
            ({"accessors": accessor(0, count=2**40)}, "expected a whole number from 0 to"),
            ({"accessors": accessor(0, count=5)}, "expected 5 values of 12 bytes, found 48 bytes"),
            ({"accessors": accessor(0, count=-1)}, "expected a whole number from 0 to"),
            ({"accessors": accessor(0, byteOffset=-4)}, "expected a whole number from 0 to"),
            ({"accessors": accessor(0, type="MAT4")}, "expected VEC3, found 'MAT4'"),
            ({"accessors": accessor(1, componentType=1)}, "expected a glTF scene, found: KeyError"),
            ({"accessors": accessor(1, count=5)}, "expected three corners a triangle"),
            ({"accessors": accessor(0, count=2)}, "expected vertex numbers from 0 to 1"),
            ({"nodes": [{"mesh": -1}]}, "expected the number of an element, found -1"),
            ({"nodes": [{"mesh": True}]}, "expected the number of an element, found True"),
            ({"nodes": [{"children": [0]}]}, "expected a tree of nodes, found it twice"),
            ({"nodes": [{"mesh": 0, "matrix": [1]}]}, "expected a glTF scene, found: ValueError"),
            ({"nodes": 7}, "expected a glTF scene, found: TypeError|number of an element"),
            ({"scenes": [{"nodes": ["x"]}]}, "expected the number of an element, found 'x'"),
            ({"meshes": primitive(indices=9)}, "expected the number of an element, found 9"),
            (
                {"meshes": primitive(extensions={"KHR_draco_mesh_compression": {}})},
                "expected plain triangles, found KHR_draco_mesh_compression",
            ),
            ({"buffers": [{"byteLength": 61, "uri": "data:;base64,AAAA"}]}, "expected 61 bytes"),
            ({"buffers": [{"byteLength": 60, "uri": "data:;base64,%"}]}, "expected a glTF scene"),
            ({"buffers": [{"byteLength": 60, "uri": "data:text/plain,x"}]}, "expected base64"),
            ({"buffers": [{"byteLength": 60, "uri": "../a.gltf"}]}, "beside the file or below"),
            ({"buffers": [{"byteLength": 60, "uri": "%2e%2e/a.bin"}]}, "beside the file or below"),
            ({"buffers": [{"byteLength": 60, "uri": "/etc/passwd"}]}, "beside the file or below"),
            ({"buffers": [{"byteLength": 60, "uri": "file:a.bin"}]}, "beside the file or below"),
            ({"buffers": [{"byteLength": 60, "uri": "no.bin"}]}, "beside the file, found none"),
            ({"buffers": [{"byteLength": 60}]}, "expected 60 bytes, found 0"),
        ],
    )
    def test_broken(self, write_bytes: WriteBytes, content: dict[str, Any], message: str) -> None:
        with pytest.raises(InputError, match=message) as caught:
            self.load(write_bytes, document(**content))
        assert "a.gltf" in str(caught.value)

    def test_deep_nesting(self, write_bytes: WriteBytes) -> None:
        with pytest.raises(InputError, match="expected a glTF scene, found: RecursionError"):
            io.load_mesh(write_bytes("a.gltf", b'{"asset": ' + b"[" * 10**5))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"glTF" + struct.pack("<II", 2, 12), "expected a chunk b'JSON'"),
            (b"glTF" + struct.pack("<II", 1, 12), "found version 1 of 12"),
            (b"glTF" + struct.pack("<II", 2, 99), "of 12 bytes, found version 2 of 99"),
            (b"glTF" + struct.pack("<II4sI", 2, 20, b"\xff\xff\xff\x7f", 0), "of at most 0 bytes"),
            (
                b"glTF" + struct.pack("<III4s", 2, 24, 4, b"JSON") + b"{}  ",
                "expected a JSON object with an asset",
            ),
        ],
    )
    def test_broken_binary(self, write_bytes: WriteBytes, content: bytes, message: str) -> None:
        with pytest.raises(InputError, match=message):
            io.load_mesh(write_bytes("a.glb", content))


TRIANGLE = (
    '<object id="1"><mesh><vertices><vertex x="0" y="0" z="0"/><vertex x="1" y="0" z="0"/>'
    '<vertex x="0" y="1" z="0"/></vertices><triangles><triangle v1="0" v2="1" v3="2"/></triangles>'
    "</mesh></object>"
)
ITEM = '<build><item objectid="1"/></build>'


def package(path: Path, model: str, **parts: str) -> Path:
    """A 3MF file with this content of its model element."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("3D/3dmodel.model", model)
        for name, content in parts.items():
            archive.writestr(f"3D/Objects/{name}.model", content)
    return path


def model(content: str, attributes: str = "") -> str:
    return f'<?xml version="1.0"?><model {attributes}>{content}</model>'


@pytest.fixture
def same_locale() -> Iterator[None]:
    """What the test leaves of the locale: lib3mf sets that of the whole process to C."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


class Test3mf:
    @pytest.mark.parametrize(
        ("unit", "factor"), [("inch", 25.4), ("meter", 1000), ("micron", 1e-3)]
    )
    def test_any_unit_becomes_millimetres(self, tmp_path: Path, unit: str, factor: float) -> None:
        text = model(f"<resources>{TRIANGLE}</resources>{ITEM}", f'unit="{unit}"')
        mesh = io.load_mesh(package(tmp_path / "a.3mf", text))
        assert np.allclose(mesh.vertices, np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]]) * factor)

    def test_components_and_items_are_placed(self, tmp_path: Path) -> None:
        quarter = "0 1 0 -1 0 0 0 0 1 5 0 0"  # rows are where x, y and z go, then the shift
        text = model(
            f"<resources>{TRIANGLE}"
            f'<object id="2"><components><component objectid="1" transform="{quarter}"/>'
            '<component objectid="1"/></components></object></resources>'
            '<build><item objectid="2" transform="2 0 0 0 2 0 0 0 2 0 0 1"/>'
            '<item objectid="1" transform="-1 0 0 0 1 0 0 0 1 0 0 0"/></build>'
        )
        mesh = io.load_mesh(package(tmp_path / "a.3mf", text))
        corners = mesh.vertices[mesh.faces].tolist()
        assert [[10, 0, 1], [10, 2, 1], [8, 0, 1]] in corners
        assert [[0, 0, 1], [2, 0, 1], [0, 2, 1]] in corners
        assert [[0, 1, 0], [-1, 0, 0], [0, 0, 0]] in corners  # a mirror turns it around
        assert len(corners) == 3

    def test_objects_in_parts_of_their_own(self, tmp_path: Path) -> None:
        text = model(
            '<resources><object id="9"><components>'
            '<component p:path="/3D/Objects/one.model" objectid="1"/>'
            '</components></object></resources><build><item objectid="9"/></build>',
            'xmlns:p="http://schemas.microsoft.com/3dmanufacturing/production/2015/06"',
        )
        path = package(tmp_path / "a.3mf", text, one=model(f"<resources>{TRIANGLE}</resources>"))
        assert len(io.load_mesh(path).faces) == 1

    @pytest.mark.usefixtures("same_locale")
    def test_read_and_written_by_lib3mf(self, tmp_path: Path) -> None:
        lib3mf = pytest.importorskip("lib3mf")
        wrapper = lib3mf.get_wrapper()
        io.save_mesh(io.Mesh(ball().vertices, ball().faces), tmp_path / "a.3mf")
        scene = wrapper.CreateModel()
        reader = scene.QueryReader("3mf")
        reader.SetStrictModeActive(True)
        reader.ReadFromFile(str(tmp_path / "a.3mf"))
        assert reader.GetWarningCount() == 0
        meshes = scene.GetMeshObjects()
        assert meshes.MoveNext()
        found = meshes.GetCurrentMeshObject()
        assert found.IsManifoldAndOriented()
        assert found.GetTriangleCount() == len(ball().faces)
        scene.QueryWriter("3mf").WriteToFile(str(tmp_path / "b.3mf"))
        assert_same_solid(io.load_mesh(tmp_path / "b.3mf"), ball())

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (model(f"<resources>{TRIANGLE}</resources>"), "found no face"),
            (model(ITEM), "expected an object '1', found none"),
            (model(f"<resources>{TRIANGLE}</resources>{ITEM}", 'unit="mile"'), "unit: expected"),
            (model(f"<resources>{TRIANGLE}</resources>{ITEM}")[:-9], "expected a 3MF package"),
            (
                model(
                    f"<resources>{TRIANGLE.replace('v3=_2_', '').replace(' v3', ' w')}</resources>"
                ),
                "expected a 3MF package, found: KeyError 'v3'",
            ),
            (
                model(f"<resources>{TRIANGLE}</resources>{ITEM}").replace('v3="2"', 'v3="3"'),
                "expected vertex numbers from 0 to 2",
            ),
            (
                model(f"<resources>{TRIANGLE}</resources>{ITEM}").replace('x="1"', 'x="one"'),
                "expected a 3MF package, found: ValueError could not convert string to float",
            ),
            (
                model(
                    '<resources><object id="1"><components><component objectid="1"/></components>'
                    f"</object></resources>{ITEM}"
                ),
                "32 deep, found more or a circle",
            ),
            (
                f'<!DOCTYPE x [<!ENTITY a "b">]>{model("")}',
                "expected XML without a document type",
            ),
            (
                model(ITEM.replace("/>", ' transform="1 0 0 0 1 0 0 0 inf 0 0 0"/>', 1)),
                "expected 12 finite numbers",
            ),
            (
                model('<build><item objectid="1" p:path="/../x"/></build>', 'xmlns:p="p"'),
                "expected a part '../x', found none",
            ),
        ],
    )
    def test_broken(self, tmp_path: Path, text: str, message: str) -> None:
        with pytest.raises(InputError, match=message):
            io.load_mesh(package(tmp_path / "a.3mf", text))

    def test_copies_of_copies_do_not_multiply(self, tmp_path: Path) -> None:
        """Ten components, each of ten components, and so on: 10^12 triangles in few bytes."""
        levels = "".join(
            f'<object id="{level}"><components>'
            + f'<component objectid="{level - 1}"/>' * 10
            + "</components></object>"
            for level in range(2, 14)
        )
        text = model(
            f'<resources>{TRIANGLE}{levels}</resources><build><item objectid="13"/></build>'
        )
        with pytest.raises(InputError, match="expected at most 65536 copies of objects"):
            io.load_mesh(package(tmp_path / "a.3mf", text))

    def test_triangles_are_counted_while_they_are_read(self, tmp_path: Path) -> None:
        many = '<triangle v1="0" v2="1" v3="2"/>' * 100_000
        text = model(f"<resources>{TRIANGLE.replace('</triangles>', many + '</triangles>')}")
        with pytest.raises(InputError, match="faces: expected at most 1000, found 1001"):
            io.load_mesh(package(tmp_path / "a.3mf", text), limits=io.Limits(faces=1000))

    def test_a_zip_of_something_else(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.3mf", "w") as archive:
            archive.writestr("hello.txt", "hello")
        with pytest.raises(InputError, match=r"expected a part '3D/3dmodel\.model', found none"):
            io.load_mesh(tmp_path / "a.3mf")


def test_too_long_for_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mvd_toolkit.io.gltf.MAX_JSON_BYTES", 10_000)
    with pytest.raises(UsageError, match="gltf: expected fewer triangles; glb takes more"):
        io.save_mesh(io.Mesh(ball().vertices, ball().faces), tmp_path / "a.gltf")
    assert not list(tmp_path.iterdir())
