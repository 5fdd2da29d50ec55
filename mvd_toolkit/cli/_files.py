"""What the commands that make files of files share: formats, and the run with its talk."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mvd_toolkit import batch, io, sidecar
from mvd_toolkit.batch import Made, Outcome, Source
from mvd_toolkit.cli._output import Output
from mvd_toolkit.errors import UsageError
from mvd_toolkit.upscale import Progress

SURE = 0.9
"""A guess of the low rule is left without advice from this confidence on."""

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
    single = is_single(inputs)
    suffix = made.folder.suffix if made.folder and not made.folder.exists() else ""
    form = io.format_of_suffix(made.folder) if made.folder and suffix else None
    if single and suffix and (form or not has_format):
        known = " ".join(sorted(set(suffixes(writes=True))))
        why = f": {form.name} files are only read" if form else ""
        raise UsageError(f"-o {option}: expected a suffix of {known}, found {suffix}{why}")
    if made.file is None and not has_format:
        raise UsageError("--format: expected the name of one when -o is no file: see `mvd formats`")
    if single and suffix:
        out.warn(f"-o {option}: no format has the suffix {suffix}, so it is taken as a folder")
    elif form:
        out.warn(f"-o {option}: is taken as a folder, as there are several inputs")
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
    counts = Counter(made=0, skipped=0, kept=0, failed=0)

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
            if out.debug and outcome.error is not None:
                out.say("".join(traceback.format_exception(outcome.error)).rstrip())
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
