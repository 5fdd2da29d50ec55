"""The process that touches what clients send: one file at a time, in bounded memory and time.

It reads a line of JSON per job on stdin and answers with one on stdout. The first line it reads are
the `Settings`, the first it writes says whether it is ready. Files go by path, in a folder that the
service made; a job names its input and where the output is to be.
"""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import signal
import sys
import traceback
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from mvd_toolkit import io
from mvd_toolkit.batch import Unready
from mvd_toolkit.errors import InputError, MVDError, UnavailableError, UsageError
from mvd_toolkit.grid import WORD_BITS, VoxelGrid, words_per_line
from mvd_toolkit.meshing import Meshing
from mvd_toolkit.serve.settings import Settings
from mvd_toolkit.upscale import Upscaled
from mvd_toolkit.upscale_file import DEFAULT_FORMAT
from mvd_toolkit.upscale_request import check_request
from mvd_toolkit.voxelize import Fill, voxelize

if TYPE_CHECKING:
    from mvd_toolkit.upscale import Upscaler

STATUS: Final[dict[type[MVDError], int]] = {UsageError: 400, InputError: 422, UnavailableError: 501}
"""The HTTP status of each error; any other is a 500."""

TOO_MUCH: Final = 413
NO_ROOM: Final = 507
GRACE: Final = 10
"""Seconds after its time limit at which a worker ends itself: its service is gone."""

NO_MEMORY: Final = "DefaultCPUAllocator"
"""What torch says, in a RuntimeError, when it gets none."""


@dataclass(frozen=True)
class Job:
    """What a client asks for.

    Attributes:
        path: the upload.
        output: where the result is to be written.
        name: what the client calls the file; used in words alone.
        view: the result is JSON for the viewer of the page, not a file.
        format: of the result; None: that of the upload, else binvox.
        to: longest edge of the result, voxels.
        low_rule: how the coarse grid was made.
        fill: hull or none.
        resolution: longest edge that a mesh is voxelized at.
        smooth: as of `Meshing`.
        faces: as of `Meshing`.
        size: as of `Meshing`, millimetres.
    """

    path: str
    output: str
    name: str = ""
    view: bool = False
    format: str | None = None
    to: int | None = None
    low_rule: str = "auto"
    fill: Fill = "hull"
    resolution: int = 32
    smooth: bool | None = None
    faces: int | None = None
    size: float | None = None

    @property
    def own_name(self) -> str:
        """What the file is called in words to the client."""
        return self.name or "the upload"


def main() -> None:
    """Serve jobs until stdin ends."""
    answers = _private_stdout()
    settings = Settings(**json.loads(sys.stdin.buffer.readline()))
    try:
        service = Service(settings)
    except MVDError as error:
        _say(answers, {"ready": False, "error": str(error)})
        return
    limit_resources(settings)
    _say(answers, {"ready": True})
    for line in sys.stdin.buffer:
        signal.alarm(int(settings.timeout) + GRACE)
        answer = service.answer(Job(**json.loads(line)))
        signal.alarm(0)
        _say(answers, answer)
        if answer.get("retire"):
            return


def limit_resources(settings: Settings) -> None:
    """Bound what this process may take from the machine; call it when all is loaded."""
    if settings.device == "cpu":
        resource.setrlimit(resource.RLIMIT_AS, (settings.memory, settings.memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (settings.max_result, settings.max_result))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write fails with EFBIG
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Service:
    """A model, and the jobs done with it."""

    def __init__(self, settings: Settings) -> None:
        from mvd_toolkit.upscale import Upscaler

        self.settings = settings
        self.upscaler: Upscaler = Upscaler.load(settings.model, settings.device)
        edge = settings.max_edge
        self.limits = io.Limits(
            voxels=edge * edge * words_per_line(edge) * WORD_BITS, faces=settings.max_faces
        )

    def answer(self, job: Job) -> dict[str, Any]:
        """Do a job: what became of it, JSON-able."""
        try:
            return {"ok": True, **self._done(job)}
        except Unready as error:
            return _refusal(job, error.error, 501)
        except MVDError as error:
            return self._told(job, error)
        except MemoryError:
            return _too_much(job)
        except Exception as error:
            if NO_MEMORY in str(error):
                return _too_much(job)
            traceback.print_exc()
            bug = MVDError("this is a bug in mvd_toolkit; the log of the service says more")
            return _refusal(job, bug, 500) | {"retire": True}

    def _told(self, job: Job, error: MVDError) -> dict[str, Any]:
        cause = error.__cause__
        if isinstance(cause, MemoryError):
            return _too_much(job)
        if isinstance(cause, OSError) and cause.errno == errno.EFBIG:
            limit = self.settings.max_result
            error = InputError(f"{job.output}: expected at most {limit} bytes, would be more")
            return _refusal(job, error, TOO_MUCH)
        if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
            return _refusal(job, error, NO_ROOM)
        status = next((s for kind, s in STATUS.items() if isinstance(error, kind)), 500)
        return _refusal(job, error, status)

    def _done(self, job: Job) -> dict[str, Any]:
        path, output = Path(job.path), Path(job.output)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", io.FormatWarning)
            grid, rule = self._coarse(path, job)
            size = check_request(grid.shape, self.upscaler.model.config, job.to, rule, job.fill)
            form = None if job.view else self._format(job, path)
            meshing = Meshing(job.smooth, job.faces, job.size)
            if form is not None:
                meshing.recipe(form)  # what makes no sense is said before any work
            result = self.upscaler.detailed(grid, size, rule, job.fill, self.settings.threads)
            facts: dict[str, Any] = {"notes": []}
            if form is None:
                with io.atomic(output) as file:
                    file.write(json.dumps(view_of(grid, result)).encode())
            else:
                facts = meshing.save(result.grid, output, form, self.settings.threads)
        heard = [str(w.message) for w in said if issubclass(w.category, io.FormatWarning)]
        suffix = ".json" if form is None else form.suffixes[0]
        stem = io.stem(job.name) if job.name else "upload"
        return {
            "name": f"{safe_name(stem)}_{size}{suffix}",
            "facts": {
                "input_shape": list(grid.shape),
                "shape": list(result.grid.shape),
                "low_rule": result.low_rule and result.low_rule.rule,
                "seconds": round(sum(result.seconds.values()), 3),
                **facts,
                "notes": [_named(note, job) for note in (*heard, *result.notes, *facts["notes"])],
            },
        }

    def _coarse(self, path: Path, job: Job) -> tuple[VoxelGrid, str]:
        """The grid to upscale and how it was made; a mesh is voxelized."""
        largest = self.settings.max_edge
        if io.sniff(path).kind == "mesh":
            if not 3 <= job.resolution <= largest:
                raise UsageError(f"resolution: expected 3 to {largest}, found {job.resolution}")
            mesh = io.load_mesh(path, limits=self.limits)
            made = voxelize(
                mesh.vertices, mesh.faces, job.resolution, threads=self.settings.threads
            )
            return made.grid, "any" if job.low_rule == "auto" else job.low_rule
        grid = io.load(path, limits=self.limits)
        if max(grid.shape) > largest:
            raise InputError(
                f"{path}: grid of {'x'.join(map(str, grid.shape))}: expected at most {largest} "
                "along its longest edge"
            )
        return grid, job.low_rule

    def _format(self, job: Job, path: Path) -> io.Format:
        own = io.sniff(path)
        name = job.format or (own.name if own.writes else DEFAULT_FORMAT)
        return io.output_format("result", name, ("grid", "mesh"))


def view_of(grid: VoxelGrid, result: Upscaled) -> dict[str, Any]:
    """What the page shows: input and result as packed bits for its viewer."""
    from mvd_toolkit.report.page import Panel, view_facts

    def caption(name: str, of: VoxelGrid) -> str:
        return f"{name}, {'×'.join(map(str, of.shape))}"

    panels = [
        Panel(caption("input", grid), grid),
        Panel(caption("upscaled", result.grid), result.grid),
    ]
    return {"panels": [{"caption": p.caption, "grid": view_facts(p)} for p in panels]}


def safe_name(stem: str) -> str:
    """A stem that is harmless in a header and on any disk.

    >>> safe_name("../ä b;c")
    'b_c'
    """
    return (
        re.sub(r"[^A-Za-z0-9]+", "_", stem.encode("ascii", "ignore").decode()).strip("_")[:80]
        or "upload"
    )


def _named(text: str, job: Job) -> str:
    """Words to the client: its own name of the file in place of the path here."""
    text = re.sub(r"; MVD_MAX_\w+ raises the limit", "", text)  # not a client's to raise
    return text.replace(job.path, job.own_name).replace(job.output, "the result")


def _refusal(job: Job, error: MVDError, status: int) -> dict[str, Any]:
    return {
        "ok": False,
        "status": status,
        "error": {"type": type(error).__name__, "message": _named(str(error), job)},
    }


def _too_much(job: Job) -> dict[str, Any]:
    """More memory than there is: the process, full of holes now, is replaced."""
    error = InputError(f"{job.path}: takes more memory than this service gives to one file")
    return _refusal(job, error, TOO_MUCH) | {"retire": True}


def _private_stdout() -> BinaryIO:
    """The pipe to the service; what libraries print goes to stderr from now on."""
    private = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return private


def _say(answers: BinaryIO, value: dict[str, Any]) -> None:
    answers.write(json.dumps(value).encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()
