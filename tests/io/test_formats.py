from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mvd_toolkit import io
from mvd_toolkit.errors import InputError, OutputExistsError, UsageError
from mvd_toolkit.grid import VoxelGrid

WriteBytes = Callable[..., Path]

FORMATS = {known.name: known for known in io.known_formats()}
GRID_FORMATS = [name for name, known in FORMATS.items() if known.kind == "grid" and known.writes]


def test_names_and_suffixes_are_unique() -> None:
    names = [known.name for known in io.known_formats()]
    suffixes = [suffix for known in io.known_formats() for suffix in known.suffixes]
    assert len(set(names)) == len(names)
    assert len(set(suffixes)) == len(suffixes)
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in suffixes)


@pytest.mark.parametrize("name", GRID_FORMATS)
@pytest.mark.parametrize("as_type", [str, Path])
def test_round_trip(
    tmp_path: Path, grid: VoxelGrid, name: str, as_type: Callable[[Path], str | Path]
) -> None:
    form = FORMATS[name]
    path = as_type(tmp_path / f"a{form.suffixes[0]}")
    io.save(grid, path)
    loaded = io.load(path)
    assert np.array_equal(loaded.packed, grid.packed)
    assert loaded.shape == grid.shape
    if form.place and "float32" not in form.keeps:
        assert np.allclose(loaded.origin, grid.origin, rtol=0, atol=1e-15)
        assert np.allclose(loaded.spacing, grid.spacing, rtol=1e-15)


@pytest.mark.parametrize("name", GRID_FORMATS)
def test_content_goes_before_the_suffix(tmp_path: Path, grid: VoxelGrid, name: str) -> None:
    for suffix in (".binvox", ".npz", ".stl", ".txt", ""):
        path = tmp_path / f"a{suffix}"
        io.save(grid, path, format=name, overwrite=True)
        found = io.sniff(path)
        assert found.name == name
        assert found.fits_suffix(path) == (suffix in found.suffixes)
        assert io.load(path).shape == grid.shape


def test_suffixes_know_no_case(tmp_path: Path, grid: VoxelGrid) -> None:
    io.save(grid, tmp_path / "A.BinVox")
    assert io.load(tmp_path / "A.BinVox") == grid


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.binvox", b"", "found an empty file"),
        ("a.txt", b"hello", "found neither content nor a suffix that is known"),
        ("a.npy", b"hello", "expected a .npy header"),
        ("a.vox", b"hello", "expected 'VOX ' and a MAIN chunk"),
        ("a.mat", b"hello", "expected the header of a MAT-file"),
        ("a.nrrd", b"hello", "line 1: expected 'NRRD0004'"),
        ("a.nii", b"hello", "expected a NIfTI header"),
        ("a.nii.gz", b"hello", "expected a NIfTI header"),
        ("a.nii.gz", b"\x1f\x8bhello", "expected gzip data"),
        ("a.safetensors", b"hello", "expected a safetensors file"),
        ("a.npz", b"hello", "expected a zip archive"),
        ("a.binvox", b"hello", "line 1: expected '#binvox 1'"),
    ],
)
def test_unknown_content(write_bytes: WriteBytes, name: str, content: bytes, message: str) -> None:
    path = write_bytes(name, content)
    with pytest.raises(InputError) as error:
        io.load(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        io.load(tmp_path / "missing.binvox")
    with pytest.raises(InputError, match="expected a file"):
        io.load(tmp_path)


def test_unknown_output_lists_what_works(tmp_path: Path, grid: VoxelGrid) -> None:
    with pytest.raises(UsageError, match=r"suffix '\.xyz' cannot be written; .*binvox.*npy.*npz"):
        io.save(grid, tmp_path / "a.xyz")
    with pytest.raises(UsageError, match="format 'su2' cannot be written"):
        io.save(grid, tmp_path / "a.binvox", format="su2")
    assert not list(tmp_path.iterdir())


def test_save_refuses_an_existing_file(tmp_path: Path, grid: VoxelGrid) -> None:
    io.save(grid, tmp_path / "a.binvox")
    with pytest.raises(OutputExistsError):
        io.save(grid, tmp_path / "a.binvox")
    io.save(grid, tmp_path / "a.binvox", overwrite=True)


def test_no_partial_file_when_the_disk_is_full(
    tmp_path: Path, grid: VoxelGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UsageError, match="cannot be written: No space left on device"):
        io.save(grid, tmp_path / "a.binvox")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "stem", "form"),
    [
        ("a.nii.gz", "a", "nifti_gz"),
        ("a.b.NII.GZ", "a.b", "nifti_gz"),
        ("a.nii", "a", "nifti"),
        ("a.npz", "a", "npz"),
        ("a.b.xyz", "a.b", None),
        (".npz", ".npz", None),
    ],
)
def test_names_without_their_suffix(name: str, stem: str, form: str | None) -> None:
    found = io.format_of_suffix(name)
    assert (found and found.name) == form
    assert io.stem(name) == stem


def test_a_name_of_two_suffixes_from_the_command_line(tmp_path: Path, grid: VoxelGrid) -> None:
    from mvd_toolkit.cli import run

    (tmp_path / "in").mkdir()
    io.save(grid, tmp_path / "in" / "scan.nii.gz")
    for form in ("npz", "nifti_gz"):
        assert run(["convert", str(tmp_path / "in"), "-o", str(tmp_path), "--format", form]) == 0
    assert {path.name for path in tmp_path.glob("scan*")} == {
        f"scan{suffix}{sidecar}" for suffix in (".npz", ".nii.gz") for sidecar in ("", ".mvd.json")
    }
    assert np.array_equal(io.load(tmp_path / "scan.npz").packed, grid.packed)
