"""What the user named: files, folders, patterns and lists become files to work on.

`find_sources` gives each file its place below what it was found in; `shard` picks one machine's
part of them.
"""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

from mvd_toolkit.errors import InputError, UsageError

S = TypeVar("S")

STDIN = Path("-")
"""Among the inputs: a list of files on standard input."""


@dataclass(frozen=True)
class Source:
    """A file to work on.

    Attributes:
        path: where it is.
        relative: where it lies below the folder the user named; its bare name when the user named
            the file itself. Output trees mirror it.
    """

    path: Path
    relative: Path

    def __str__(self) -> str:
        return str(self.path)


def find_sources(
    inputs: Sequence[Path],
    suffixes: Iterable[str],
    exclude: Callable[[Path], bool] = lambda file: False,
    listed: Sequence[Path] = (),
) -> list[Source]:
    """The files that the user's arguments stand for, in order, none twice.

    A file is taken whatever its suffix; of a folder, every file below it, and of a pattern
    (``scans/**/*.npz``) every file it matches, that has one of ``suffixes`` and that ``exclude``
    does not refuse, sorted. With several folders each keeps its own name as the first part of
    ``relative``, so that their trees do not mix; so do the folders before a pattern's first
    wildcard. A path that does not exist is left to the function that reads it.

    Args:
        inputs: files, folders and patterns.
        suffixes: of the files that are looked for in folders.
        exclude: files in folders that are none of the inputs.
        listed: files of a list: each keeps its folders as they are in the list.

    Raises:
        InputError: a folder holds no such file, a pattern matches none.
    """
    wanted = tuple(sorted({suffix.lower() for suffix in suffixes}))
    several = sum(path.is_dir() or is_pattern(path) for path in inputs) > 1
    found: dict[Path, Source] = {}
    for path in inputs:
        if not path.is_dir() and not is_pattern(path):
            found.setdefault(path.resolve(), Source(path, Path(path.name)))
            continue
        root, files = (path, path.rglob("*")) if path.is_dir() else _matches(path)
        known = (file for file in sorted(files) if file.name.lower().endswith(wanted))
        inside = [file for file in known if not file.is_dir() and not exclude(file)]
        if not inside:
            raise InputError(f"{path}: expected files ending in {' '.join(wanted)}, found none")
        for file in inside:
            relative = file.relative_to(root)
            if several:
                relative = root.resolve().name / relative
            found.setdefault(file.resolve(), Source(file, relative))
    for path in listed:
        found.setdefault(path.resolve(), Source(path, _below(path)))
    return list(found.values())


def is_pattern(path: Path) -> bool:
    """Whether ``path`` is a pattern: it has wildcards, and no file is called so."""
    return glob.has_magic(str(path)) and not path.exists()


def is_single(inputs: Sequence[Path]) -> bool:
    """Whether the user named one file, which is then no folder, pattern or list."""
    if len(inputs) != 1 or inputs[0] == STDIN:
        return False
    return not inputs[0].is_dir() and not is_pattern(inputs[0])


def read_list(file: BinaryIO, name: str) -> list[Path]:
    """The paths of a list, one a line, or each ended by a zero byte (``find -print0``).

    Raises:
        InputError: a path is not UTF-8, or the list is empty.
    """
    content = file.read()
    ends = b"\0" if b"\0" in content else b"\n"
    try:
        lines = [line.decode().removesuffix("\r") for line in content.split(ends)]
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name}: expected paths in UTF-8, one a line (of the files, not what is in them), "
            f"found {error}"
        ) from error
    paths = [Path(line) for line in lines if line]
    if not paths:
        raise InputError(f"{name}: expected a list of files, found none")
    return paths


@dataclass(frozen=True)
class Shard:
    """One of ``count`` parts of a batch; every item is in exactly one.

    Attributes:
        index: 1 to ``count``.
        count: how many parts there are.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """What ``--shard I/N`` says.

        >>> Shard.parse("2/4")
        Shard(index=2, count=4)

        Raises:
            UsageError: it is not I/N with I from 1 to N.
        """
        index, _, count = text.partition("/")
        if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            raise UsageError(f"--shard: expected I/N with I from 1 to N, 2/4 say, found {text!r}")
        return cls(int(index), int(count))

    def holds(self, family: object) -> bool:
        """Whether items of a family are in this part: by a hash of its text, whatever else is."""
        digest = hashlib.sha256(str(family).encode()).digest()
        return int.from_bytes(digest[:8]) % self.count == self.index - 1


def family(source: Source) -> PurePosixPath:
    """What items have in common whose outputs may have one name: the place without the suffix."""
    from mvd_toolkit.io import stem

    return PurePosixPath(source.relative.parent.as_posix()) / stem(source.relative)


def grouped(items: Iterable[S], key: Callable[[S], Hashable]) -> list[list[S]]:
    """The items that have one key together, in the order of the first of each."""
    found: dict[Hashable, list[S]] = {}
    for item in items:
        found.setdefault(key(item), []).append(item)
    return list(found.values())


def _matches(pattern: Path) -> tuple[Path, Iterator[Path]]:
    """The folder above a pattern's first wildcard, and what it matches there."""
    parts = pattern.parts
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:first])
    return root, root.glob(str(Path(*parts[first:])))


def _below(path: Path) -> Path:
    """Where a listed file goes: its folders as in the list, without the root."""
    if ".." in path.parts:
        path = path.resolve()
    return path.relative_to(path.anchor)
