"""Many files: what is found, where outputs go, what failures and signals do."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from trees import SUFFIXES, touch

from mvd_toolkit.batch import (
    Destination,
    Interrupted,
    Outcome,
    Source,
    Unready,
    raise_failures,
    run,
)
from mvd_toolkit.errors import (
    BatchError,
    BugError,
    InputError,
    OutputExistsError,
    UnavailableError,
    UsageError,
)


def test_output_option_is_a_file_or_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.npy", "b.npy", "taken.txt", "folder.npy/x.npy")
    one, two = [tmp_path / "a.npy"], [tmp_path / "a.npy", tmp_path / "b.npy"]

    def parsed(output: Path | None, inputs: list[Path]) -> tuple[Path | None, Path | None]:
        destination = Destination.from_option(output, inputs, SUFFIXES)
        return destination.file, destination.folder

    assert parsed(None, one) == (None, None)
    assert parsed(tmp_path / "x.npy", one) == (tmp_path / "x.npy", None)
    assert parsed(tmp_path / "x.npy", two) == (None, tmp_path / "x.npy")
    assert parsed(tmp_path / "x.npy", [tmp_path]) == (None, tmp_path / "x.npy")
    assert parsed(tmp_path / "x", one) == (None, tmp_path / "x")
    assert parsed(tmp_path / "folder.npy", one) == (None, tmp_path / "folder.npy")
    with pytest.raises(UsageError, match="expected a folder for several inputs, found a file"):
        parsed(tmp_path / "b.npy", two)
    with pytest.raises(UsageError, match="a suffix that no format has, found a file"):
        parsed(tmp_path / "taken.txt", one)


def test_places_of_outputs() -> None:
    source = Source(Path("in/sub/a.npy"), Path("sub/a.npy"))
    assert Destination().path(source, "a_8.npy") == Path("in/sub/a_8.npy")
    assert Destination(folder=Path("o")).path(source, "a_8.npy") == Path("o/sub/a_8.npy")
    assert Destination(file=Path("o/x.npz")).path(source, "a_8.npy") == Path("o/x.npz")


def test_output_that_is_the_input() -> None:
    source = Source(Path("in/a.npy"), Path("a.npy"))
    with pytest.raises(UsageError, match=r"in/a\.npy: is the input; -o names another place"):
        Destination(file=Path("in/../in/a.npy")).path(source, "")


def test_two_inputs_with_one_output() -> None:
    destination = Destination(folder=Path("o"))
    destination.path(Source(Path("in/a.npy"), Path("a.npy")), "a_8.npy")
    with pytest.raises(OutputExistsError, match=r"o/a_8\.npy: is already the output of in/a\.npy"):
        destination.path(Source(Path("in/a.binvox"), Path("a.binvox")), "a_8.npy")


def items(count: int) -> list[Source]:
    return [Source(Path(f"{i}.npy"), Path(f"{i}.npy")) for i in range(count)]


def test_a_failure_stops_nothing_and_is_listed() -> None:
    def work(source: Source) -> str:
        if source.path.stem == "1":
            raise InputError("1.npy: is broken")
        if source.path.stem == "2":
            raise FileNotFoundError(2, "No such file or directory", "2.npy")
        if source.path.stem == "3":
            raise MemoryError
        if source.path.stem == "5":
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate "
                "memory: you tried to allocate 4398046511104 bytes."
            )
        return source.path.stem

    told: list[Outcome[str]] = []
    outcomes = run(items(6), work, told.append)
    assert told == outcomes
    assert [outcome.result for outcome in outcomes] == ["0", None, None, None, "4", None]
    with pytest.raises(BatchError) as caught:
        raise_failures(outcomes, single=False)
    assert str(caught.value) == (
        "4 of 6 failed:\n"
        "  1.npy: is broken\n"
        "  2.npy: No such file or directory\n"
        "  3.npy: this machine has too little memory for it\n"
        "  5.npy: this machine has too little memory for it"
    )


def test_the_only_file_keeps_its_own_error() -> None:
    def work(source: Source) -> None:
        raise OutputExistsError("0.npy: exists")

    with pytest.raises(OutputExistsError, match=r"0\.npy: exists"):
        raise_failures(run(items(1), work), single=True)


def test_a_bug_is_the_failure_of_its_item_alone() -> None:
    outcomes = run(items(3), lambda source: 1 // (int(source.path.stem) - 1))
    assert [outcome.result for outcome in outcomes] == [-1, None, 1]
    error = outcomes[1].error
    assert isinstance(error, BugError)
    assert isinstance(error.__cause__, ZeroDivisionError)
    assert "this is a bug in mvd_toolkit: ZeroDivisionError" in str(error)
    with pytest.raises(BatchError, match="1 of 3 failed"):
        raise_failures(outcomes, single=False)


def test_what_every_item_needs_ends_the_run() -> None:
    def work(source: Source) -> None:
        if source.path.stem == "1":
            raise Unready(UnavailableError("no such device"))

    done: list[Outcome[None]] = []
    with pytest.raises(UnavailableError, match="no such device"):
        run(items(3), work, on_outcome=done.append)
    assert len(done) == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_lets_the_item_finish(number: signal.Signals, code: int) -> None:
    done: list[str] = []
    before = signal.getsignal(number)

    def work(source: Source) -> None:
        if source.path.stem == "1":
            os.kill(os.getpid(), number)
        done.append(source.path.stem)

    heard: list[str] = []
    with pytest.raises(Interrupted) as caught:
        run(items(4), work, on_signal=lambda: heard.append("stopping"))
    assert done == ["0", "1"]
    assert heard == ["stopping"]
    assert caught.value.exit_code == code
    assert str(caught.value) == "interrupted: 2 of 4 done; the same command goes on from there"
    assert signal.getsignal(number) is before


def test_a_second_interrupt_stops_at_once() -> None:
    def work(source: Source) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("went on after the second Ctrl-C")

    with pytest.raises(KeyboardInterrupt):
        run(items(2), work)
