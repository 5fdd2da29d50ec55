"""What the commands that make files of files share: formats, and the run with its talk."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mvd_toolkit import batch, io, sidecar
from mvd_toolkit.batch import Made, Outcome, Source
from mvd_toolkit.cli._output import Output
from mvd_toolkit.errors import UsageError
from mvd_toolkit.upscale import Progress

Job = Callable[[Source, Progress | None], Made]
"""Makes the output of one file and tells its steps."""


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


def destination(out: Output, option: Path | None, inputs: Sequence[Path]) -> batch.Destination:
    """Where ``-o`` says that outputs go.

    Raises:
        UsageError: it would have to be a folder and is a file.
    """
    new = option is not None and not option.exists()
    made = batch.Destination.from_option(option, inputs, suffixes(writes=True))
    if new and made.folder is not None and made.folder.suffix and is_single(inputs):
        suffix = made.folder.suffix
        out.warn(f"-o {option}: no format has the suffix {suffix}, so it is taken as a folder")
    return made


def find(
    out: Output, inputs: Sequence[Path], wanted: Sequence[str], made: batch.Destination
) -> list[Source]:
    """The files that the inputs stand for.

    What an earlier run of this command left where outputs go is no input: the command can be run
    again on a folder that holds its own results.

    Raises:
        InputError: a folder holds no file of a known suffix.
    """

    def is_own_result(file: Path) -> bool:
        return made.may_hold(file) and (sidecar.read(file) or {}).get("command") == out.command

    return batch.find_sources(inputs, wanted, is_own_result)


def is_single(inputs: Sequence[Path]) -> bool:
    """Whether the user named one file: then its own error is the command's."""
    return len(inputs) == 1 and not inputs[0].is_dir()


def run(out: Output, items: Sequence[Source], job: Job, single: bool) -> None:
    """Run ``job`` on every item, tell each result and the summary.

    Raises:
        MVDError: of the only item, when it failed.
        BatchError: some of several failed.
    """
    start = time.perf_counter()
    counts = Counter(made=0, skipped=0, failed=0)

    def tell(outcome: Outcome[Made]) -> None:
        progress.finish()
        item = describe(outcome)
        counts[item["status"]] += 1
        out.item(item)
        _talk(out, outcome, single)

    def attempt(source: Source) -> Made:
        progress.start(str(source.relative))
        return job(source, progress.step)

    try:
        with out.progress(len(items), out.command) as progress:
            outcomes = batch.run(
                items,
                attempt,
                on_outcome=tell,
                on_signal=lambda: out.say("stopping after this item; Ctrl-C again stops now"),
            )
    finally:
        seconds = time.perf_counter() - start
        out.summary = {**counts, "total": len(items), "seconds": round(seconds, 3)}
    if len(items) > 1:
        out.say(", ".join(f"{n} {what}" for what, n in counts.items() if n) + f", {seconds:.1f} s")
    batch.raise_failures(outcomes, single)
    out.finish()


def describe(outcome: Outcome[Made]) -> dict[str, Any]:
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


def _talk(out: Output, outcome: Outcome[Made], single: bool) -> None:
    made = outcome.result
    path = outcome.source.path
    if made is None:
        if not single:
            out.say(f"failed   {path}")
        return
    for note in made.notes:
        out.warn(f"{path}: {note}")
    if made.status == "skipped":
        out.say(f"skipped  {made.output}: exists already")
    else:
        shape = "x".join(map(str, made.facts.get("shape", ())))
        rule = made.facts.get("low_rule")
        guessed = made.facts.get("low_rule_guessed")
        sure = made.facts.get("low_rule_confidence", 0)
        how = (
            f", low rule {rule}{f' (guessed, {sure:.0%} sure)' if guessed else ''}" if rule else ""
        )
        out.say(f"made     {path} → {shape}{how}, {outcome.seconds:.1f} s")
    out.data(str(made.output))
