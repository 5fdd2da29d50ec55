"""3MF: a package read by hand-made files, lib3mf and trimesh."""

from __future__ import annotations

import locale
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from scenes import assert_same_solid, ball

from mvd_toolkit import io
from mvd_toolkit.errors import InputError

WriteBytes = Callable[..., Path]


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
