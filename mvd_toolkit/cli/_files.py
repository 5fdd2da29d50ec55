"""What the commands that make files of files share: formats, and the run with its talk."""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mvd_toolkit import batch, batch_log, io, sidecar, sources
from mvd_toolkit.batch import Made, Outcome
from mvd_toolkit.cli._output import Output, plain
from mvd_toolkit.cli._workers import STOPPING, Workers
from mvd_toolkit.errors import InputError, UsageError
from mvd_toolkit.progress import Progress
from mvd_toolkit.sources import Shard, Source

SURE = 0.9
"""A guess of the low rule is left without advice from this confidence on."""

Job = Callable[[Source, Progress | None], Made]
"""Makes the output of one file and tells its steps."""


@dataclass(frozen=True)
class Files:
    """The files of one run, and where what is made of them goes.

    Attributes:
        items: the files.
        destination: where outputs go.
        single: the user named one file; see `sources.is_single`.
        log: where to write how each ended; None: nowhere.
    """

    items: Sequence[Source]
    destination: batch.Destination
    single: bool
    log: Path | None


def gather(
    out: Output,
    inputs: Sequence[Path] | None,
    option: Path | None,
    form: str | None,
    wanted: Sequence[str],
    files_from: str | None = None,
    shard: str | None = None,
    has_format: bool = True,
) -> Files:
    """The files that a command works on.

    Args:
        out: names the command, and is told what the user should know.
        inputs: what the user named.
        option: ``-o``.
        form: ``--format``.
        wanted: suffixes of the files that are looked for in folders.
        files_from: ``--files-from``.
        shard: ``--shard``.
        has_format: whether outputs in a folder have a format when ``--format`` names none.

    Raises:
        InputError: a folder holds no file of a known suffix, or a list none at all.
        UsageError: an option makes no sense.
    """
    writable(form)
    paths = named(inputs, files_from)
    single = sources.is_single(paths)
    made = destination(out, option, paths, has_format or form is not None)
    items = find(out, paths, wanted, made, files_from, shard)
    return Files(items, made, single, log_path(made, single, shard))


def suffixes(kind: str | None = None, reads: bool = False, writes: bool = False) -> tuple[str, ...]:
    """The suffixes of the formats of a kind that can be read or written."""
    return tuple(
        suffix
        for form in io.known_formats()
        if kind in (None, form.kind) and form.reads >= reads and form.writes >= writes
        for suffix in form.suffixes
    )


def writable(name: str | None) -> None:
    """Check that ``--format`` names a format that can be written.

    Raises:
        UsageError: it does not; those that can are named.
    """
    names = [form.name for form in io.known_formats() if form.writes]
    if name is not None and name not in names:
        raise UsageError(f"--format: expected one of {', '.join(names)}, found {name!r}")


def destination(
    out: Output, option: Path | None, inputs: Sequence[Path], has_format: bool = True
) -> batch.Destination:
    """Where ``-o`` says that outputs go.

    Args:
        out: is told when what looks like a file is taken as a folder.
        option: ``-o``.
        inputs: what the user named.
        has_format: whether outputs in a folder have a format; without, ``-o`` must name a file.

    Raises:
        UsageError: it would have to be a folder and is a file, or would have to be a file, or its
            suffix is that of a format that cannot be written.
    """
    made = batch.Destination.from_option(option, inputs, suffixes(writes=True))
    single = sources.is_single(inputs)
    suffix = made.folder.suffix if made.folder and not made.folder.exists() else ""
    form = io.format_of_suffix(made.folder) if made.folder and suffix else None
    if single and suffix and (form or not has_format):
        known = " ".join(sorted(set(suffixes(writes=True))))
        why = f": {form.name} files are only read" if form else ""
        raise UsageError(f"-o {option}: expected a suffix of {known}, found {suffix}{why}")
    if made.file is None and not has_format:
        raise UsageError(
            "expected -o FILE, -o chair.stl say, or --format: expected the name of one when -o is "
            "no file: see `mvd formats`"
        )
    if single and suffix:
        out.warn(f"-o {option}: no format has the suffix {suffix}, so it is taken as a folder")
    elif form:
        out.warn(f"-o {option}: is taken as a folder, as there are several inputs")
    return made


def find(
    out: Output,
    inputs: Sequence[Path],
    wanted: Sequence[str],
    made: batch.Destination,
    files_from: str | None = None,
    shard: str | None = None,
) -> list[Source]:
    """The files that the inputs stand for.

    What an earlier run of this command left where outputs go is no input: the command can be run
    again on a folder that holds its own results.

    Args:
        out: names the command.
        inputs: files, folders, patterns, and ``-`` for a list; see `named`.
        wanted: suffixes of the files that are looked for in folders.
        made: where outputs go.
        files_from: where the list is; None: on standard input.
        shard: ``--shard``; see `Shard`.

    Raises:
        InputError: a folder holds no file of a known suffix, or a list none at all.
        UsageError: the shard makes no sense.
    """
    part = Shard.parse(shard) if shard else None

    def is_own_result(file: Path) -> bool:
        return made.may_hold(file) and (sidecar.read(file) or {}).get("command") == out.command

    paths, listed = split_list(inputs, files_from)
    found = sources.find_sources(paths, wanted, is_own_result, listed)
    return [source for source in found if part is None or part.holds(sources.family(source))]


def named(inputs: Sequence[Path] | None, files_from: str | None) -> list[Path]:
    """The inputs that the user named; ``-`` among them stands for the list, wherever it is.

    Raises:
        UsageError: there is none, or there are two lists.
    """
    paths = list(inputs or [])
    if files_from is not None:
        if sources.STDIN in paths:
            raise UsageError("- and --files-from: expected one list, found two")
        paths.append(sources.STDIN)
    if not paths:
        raise UsageError("expected files or folders, - for a list of them, or --files-from")
    return paths


def split_list(inputs: Sequence[Path], files_from: str | None) -> tuple[list[Path], list[Path]]:
    """What of the inputs is named, and what a list among them holds.

    Args:
        inputs: of `named`.
        files_from: where the list is; None: on standard input.

    Raises:
        InputError: the list cannot be read, or is empty.
    """
    listed = _read_list(files_from or "-") if sources.STDIN in inputs else []
    return [path for path in inputs if path != sources.STDIN], listed


def _read_list(name: str) -> list[Path]:
    if name == str(sources.STDIN):
        return sources.read_list(sys.stdin.buffer, "standard input")
    try:
        with open(name, "rb") as file:
            return sources.read_list(file, name)
    except OSError as error:
        raise InputError(f"--files-from {name}: {error.strerror}") from error


def run(out: Output, files: Files, job: Job, workers: Workers) -> None:
    """Run ``job`` on every file, tell each result and the summary.

    Args:
        out: is told.
        files: of `gather`.
        job: makes the output of one.
        workers: who works on them.

    Raises:
        MVDError: of the only item, when it failed.
        BatchError: some of several failed.
    """
    start = time.perf_counter()
    counts = Counter(made=0, skipped=0, kept=0, failed=0)
    items, single = files.items, files.single

    def tell(outcome: Outcome[Source, Made]) -> None:
        item = describe(outcome)
        progress.finish(str(outcome.source.relative), worked=item["status"] in ("made", "failed"))
        counts[item["status"]] += 1
        out.item(item)
        if lines:
            lines.add(plain(item))
        _talk(out, outcome, single)

    def attempt(source: Source) -> Made:
        progress.start(str(source.relative))
        return job(source, progress.step)

    try:
        with contextlib.ExitStack() as stack:
            executor = stack.enter_context(workers.executor())
            lines = stack.enter_context(batch_log.BatchLog(files.log)) if files.log else None
            progress = stack.enter_context(out.progress(len(items), out.command))
            function: Any = attempt if executor is None else job
            outcomes = batch.run(
                items,
                function,
                on_outcome=tell,
                on_signal=lambda: out.say(STOPPING),
                executor=executor,
                together=sources.family,
            )
    finally:
        seconds = time.perf_counter() - start
        out.summary = {**counts, "total": len(items), "seconds": round(seconds, 3)}
    if len(items) != 1:
        said = [f"{n} {what}" for what, n in counts.items() if n] or ["nothing to do"]
        out.say(", ".join(said) + f", {seconds:.1f} s")
    batch.raise_failures(outcomes, single)
    out.finish()


def log_path(made: batch.Destination, single: bool, shard: str | None = None) -> Path | None:
    """Where a batch that goes into a folder tells how each item ended; None of any other."""
    if single or made.folder is None:
        return None
    part = Shard.parse(shard) if shard else None
    name = f"batch.{part.index}-of-{part.count}.jsonl" if part else batch_log.NAME
    return made.folder / name


def describe(outcome: Outcome[Source, Made]) -> dict[str, Any]:
    """An element of the document's ``items``."""
    item: dict[str, Any] = {"input": str(outcome.source.path)}
    if outcome.result is not None:
        made = outcome.result
        item |= {"output": str(made.output), "status": made.status, **made.facts}
    if outcome.error is not None:
        error = outcome.error
        item |= {
            "status": "failed",
            "error": {
                "type": type(error).__name__,
                "message": str(error),
                "exit_code": error.exit_code,
            },
        }
    return item


def say_trace(out: Output, error: Exception | None) -> None:
    """With ``--debug``, where the error of an item came from."""
    if out.debug and error is not None:
        out.say("".join(traceback.format_exception(error)).rstrip())


def _talk(out: Output, outcome: Outcome[Source, Made], single: bool) -> None:
    made = outcome.result
    path = outcome.source.path
    if made is None:
        if not single:
            out.say(f"failed   {path}")
            say_trace(out, outcome.error)
        return
    for note in made.notes:
        out.warn(f"{path}: {note}")
    if made.status == "kept":
        out.say(
            f"kept     {made.output}: exists and is not what this command would make; "
            "--on-exists overwrite replaces it"
        )
        return
    if made.status == "skipped":
        out.say(f"skipped  {made.output}: exists already")
    else:
        out.say(
            f"made     {path} → {_extent(made.facts)}{_rule(made.facts)}, {outcome.seconds:.1f} s"
        )
    out.data(str(made.output))


def _extent(facts: Mapping[str, Any]) -> str:
    """How large what was made is: voxels along each edge, triangles, or both."""
    said = []
    if "shape" in facts:
        said.append("x".join(map(str, facts["shape"])))
    if "triangles" in facts:
        said.append(f"{facts['triangles']} triangles")
    return ", ".join(said)


def _rule(facts: Mapping[str, Any]) -> str:
    """How the low rule was found, where there is one; an unsure guess says how to do better."""
    rule = facts.get("low_rule")
    if rule is None:
        return ""
    sure = facts.get("low_rule_confidence", 1.0)
    if not facts.get("low_rule_guessed") or sure == 1:
        return f", low rule {rule}"
    hint = "" if sure >= SURE else "; --low-rule says it if you know how the grid was made"
    return f", low rule {rule} (guessed, {sure:.0%} sure{hint})"
