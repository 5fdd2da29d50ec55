"""Inputs: what folders, patterns and lists stand for, and which shard has what."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from trees import SUFFIXES, touch

from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.sources import (
    Shard,
    Source,
    family,
    find_sources,
    grouped,
    is_single,
    read_list,
)


def relatives(found: list[Source]) -> list[str]:
    return [source.relative.as_posix() for source in found]


def test_folders_give_their_known_files_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "b.NPY", "a.binvox", "sub/deep/c.npy", "notes.txt", "a.npy.mvd.json")
    assert relatives(find_sources([tmp_path], SUFFIXES)) == ["a.binvox", "b.NPY", "sub/deep/c.npy"]


def test_a_named_file_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    touch(tmp_path, "odd.xyz")
    found = find_sources([tmp_path / "odd.xyz", tmp_path / "missing.npy"], SUFFIXES)
    assert relatives(found) == ["odd.xyz", "missing.npy"]


def test_nothing_twice(tmp_path: Path) -> None:
    touch(tmp_path, "a.npy")
    assert relatives(find_sources([tmp_path / "a.npy", tmp_path], SUFFIXES)) == ["a.npy"]


def test_several_folders_keep_their_names(tmp_path: Path) -> None:
    touch(tmp_path, "one/a.npy", "two/a.npy")
    found = find_sources([tmp_path / "one", tmp_path / "two"], SUFFIXES)
    assert relatives(found) == ["one/a.npy", "two/a.npy"]


def test_folder_without_a_known_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected files ending in \.binvox \.npy, found none"):
        find_sources([tmp_path], SUFFIXES)


def test_patterns_keep_the_folders_below_their_first_wildcard(tmp_path: Path) -> None:
    touch(tmp_path, "a/1/x.npy", "a/2/x.npy", "a/2/x.txt", "b/y.npy", "a/2/x.npy.mvd.json")
    assert relatives(find_sources([tmp_path / "a/*/x.*"], SUFFIXES)) == ["1/x.npy", "2/x.npy"]
    assert relatives(find_sources([tmp_path / "**/?.npy"], SUFFIXES)) == [
        "a/1/x.npy",
        "a/2/x.npy",
        "b/y.npy",
    ]
    with pytest.raises(InputError, match=r"c\*: expected files ending in \.binvox \.npy, found"):
        find_sources([tmp_path / "c*"], SUFFIXES)


def test_a_file_that_is_called_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "x[1].npy", "x1.npy")
    assert relatives(find_sources([tmp_path / "x[1].npy"], SUFFIXES)) == ["x[1].npy"]
    assert is_single([tmp_path / "x[1].npy"])
    assert not is_single([tmp_path / "x*.npy"])
    assert not is_single([Path("-")])


def test_lists_keep_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    listed = [Path("a/x.npy"), Path("/far/x.npy"), Path("./a/../b/x.npy"), Path("a/x.npy")]
    below = (tmp_path / "b/x.npy").relative_to("/").as_posix()
    assert relatives(find_sources([], SUFFIXES, listed=listed)) == ["a/x.npy", "far/x.npy", below]


@pytest.mark.parametrize(
    ("content", "paths"),
    [
        (b"a.npy\nb c.npy\n", ["a.npy", "b c.npy"]),
        (b"a.npy\r\n\r\nb.npy", ["a.npy", "b.npy"]),
        (b"a\nb.npy\0c.npy\0", ["a\nb.npy", "c.npy"]),
    ],
)
def test_lists(content: bytes, paths: list[str]) -> None:
    assert read_list(io.BytesIO(content), "list") == [Path(path) for path in paths]


def test_lists_that_are_none() -> None:
    with pytest.raises(InputError, match="list: expected a list of files, found none"):
        read_list(io.BytesIO(b"\n\n"), "list")
    with pytest.raises(InputError, match="list: expected paths in UTF-8"):
        read_list(io.BytesIO(b"\xff.npy"), "list")


def some(count: int) -> list[Source]:
    return [Source(Path(f"in/{i:03d}.npy"), Path(f"{i:03d}.npy")) for i in range(count)]


def test_shards_part_the_items_evenly_and_for_good() -> None:
    items = some(1000)
    parts = [[item for item in items if Shard(i, 4).holds(family(item))] for i in range(1, 5)]
    assert sorted(item.path for part in parts for item in part) == [item.path for item in items]
    assert all(200 < len(part) < 300 for part in parts)
    few = [item for item in some(10) if Shard(2, 4).holds(family(item))]
    assert few == [item for item in parts[1] if item in some(10)]
    assert [item.relative.name for item in few] == ["004.npy", "006.npy"]  # on any machine


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "1/0", "a/b", "-1/4", "1/4/2"])
def test_shards_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--shard: expected I/N with I from 1 to N, 2/4 say"):
        Shard.parse(text)


def test_items_whose_outputs_may_have_one_name_stay_together() -> None:
    names = ["a/x.npy", "b/x.npy", "a/x.binvox", "a/x.1.npy"]
    items = [Source(Path(name), Path(name)) for name in names]
    found = [[item.path.as_posix() for item in group] for group in grouped(items, family)]
    assert found == [["a/x.npy", "a/x.binvox"], ["b/x.npy"], ["a/x.1.npy"]]
    assert [Shard(i, 9).holds(family(items[0])) for i in range(1, 10)] == [
        Shard(i, 9).holds(family(items[2])) for i in range(1, 10)
    ]
