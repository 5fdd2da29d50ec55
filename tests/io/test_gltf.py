"""glTF: a scene read by hand-made files and those of trimesh."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from scenes import as_trimesh, assert_same_solid, ball, scene

from mvd_toolkit import io
from mvd_toolkit.errors import InputError, UsageError

WriteBytes = Callable[..., Path]


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


def test_too_long_for_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mvd_toolkit.io.gltf.MAX_JSON_BYTES", 10_000)
    with pytest.raises(UsageError, match="gltf: expected fewer triangles; glb takes more"):
        io.save_mesh(io.Mesh(ball().vertices, ball().faces), tmp_path / "a.gltf")
    assert not list(tmp_path.iterdir())
