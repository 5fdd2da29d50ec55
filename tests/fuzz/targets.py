"""What is fuzzed: every reader of the toolkit, and the only ways in which it may end."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import corpus

from mvd_toolkit import io, sidecar
from mvd_toolkit.errors import InputError, MVDError, UnavailableError, UsageError

LIMITS = io.Limits(voxels=2**20, faces=2**16)

Read = Callable[[Path], object]


@dataclass(frozen=True)
class Target:
    """A reader and what it is fed.

    Attributes:
        name: of the format, or of the kind of file.
        file: the name under which the reader finds its file.
        seeds: whole files; each can be read.
        read: reads it; a value or one of ``errors`` is how it may end.
        errors: what it raises for what is wrong with a file.
        rare: takes so long that it is fed one input for every 20 of the others.
    """

    name: str
    file: Path
    seeds: list[bytes]
    read: Read
    errors: tuple[type[MVDError], ...] = (InputError,)
    rare: bool = False

    def end(self, content: bytes) -> str:
        """How reading a content ends: "value", or "refused" by one of the errors.

        Raises:
            AssertionError: the error does not name the file, or memory ran out.
            Exception: whatever else the reader raises: a finding.
        """
        self.file.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", io.FormatWarning)
            try:
                self.read(self.file)
            except self.errors as error:
                said = str(error)
                assert "fit into memory" not in said, said
                if not isinstance(error, UnavailableError):  # that names the plugin
                    assert self.file.name in said or str(self.file.parent) in said, said
                return "refused"
        return "value"


def all_targets(folder: Path) -> dict[str, Target]:
    """Every target by its name; the folder is theirs."""
    targets = {target.name: target for target in (*_formats(folder), *_own(folder))}
    for target in targets.values():
        for seed in target.seeds:
            assert target.end(seed) == "value", target.name
    return targets


def _formats(folder: Path) -> Iterator[Target]:
    with tempfile.TemporaryDirectory() as made:
        corpus.one_of_each_format(Path(made))
        corpus.flavours(Path(made))
        seeds: dict[str, list[bytes]] = {}
        for path in sorted(Path(made).iterdir()):
            seeds.setdefault(io.sniff(path).name, []).append(path.read_bytes())
    for known in io.known_formats():
        file = folder / known.name / f"a{known.suffixes[0]}"
        file.parent.mkdir()
        yield Target(known.name, file, seeds[known.name], _load)


def _load(path: Path) -> object:
    load = io.load if io.sniff(path).kind == "grid" else io.load_mesh
    return load(path, limits=LIMITS)


def _own(folder: Path) -> Iterator[Target]:
    from mvd_toolkit.data import PairDataset, write_description
    from mvd_toolkit.evaluation_log import read_rows
    from mvd_toolkit.model import Model
    from mvd_toolkit.model_directory import directory_hash
    from mvd_toolkit.pair_file import read_pair
    from mvd_toolkit.pipeline_recipe import read_recipe

    own = folder / "own"
    own.mkdir()
    seeds = corpus.files_of_our_own(own)

    def place(name: str) -> Path:
        (folder / name).mkdir()
        return folder / name

    def dataset(path: Path) -> object:
        PairDataset(path.parent, "test")
        return write_description(path.parent, [(4, 8)])

    def of_grid(path: Path) -> object:
        return sidecar.load_grid(path.parent / "a.npy")

    def model(path: Path) -> object:
        return directory_hash(path.parent), Model.load(path.parent)

    def copy_of(name: str, source: Path) -> Path:
        return Path(shutil.copytree(source, folder / name))

    yield Target("pair", place("pair") / "a_4_8.npz", seeds["pair"], read_pair)
    described = place("dataset") / "dataset.json"
    yield Target("dataset", described, seeds["dataset"], dataset, (InputError, UsageError))
    beside = place("sidecar") / "a.npy.mvd.json"
    shutil.copy(own / "a.npy", beside.parent)
    yield Target("sidecar", beside, seeds["sidecar"], of_grid)
    recipe = place("recipe") / "recipe.toml"
    yield Target("recipe", recipe, seeds["recipe"], read_recipe, (InputError, UsageError))
    rows = place("log") / "rows.jsonl"
    yield Target("log", rows, seeds["log"], lambda path: read_rows([path]))
    config = copy_of("config", own / "model") / "config.json"
    errors = (InputError, UnavailableError)
    yield Target("config", config, seeds["config"], model, errors, rare=True)
    weights = copy_of("weights", own / "model") / "depth.safetensors"
    yield Target("weights", weights, seeds["weights"], model, rare=True)
