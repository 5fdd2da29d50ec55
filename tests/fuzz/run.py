"""Feed mutated files to every reader, as many as asked for, and tell how each ended.

    python tests/fuzz/run.py --inputs 1000000 --log fuzz.jsonl

A reader must end in a value or in an error of its own, within seconds and a capped address space;
anything else is a finding: its input is kept beside the log. Input number i is made from the seed
and i alone. The log has a line for each finished block of inputs: the same command goes on where
it was stopped, and ``--only NAME --start I --inputs 1`` does one again.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy and torch read it

from mutate import mutate
from targets import Target, all_targets

BLOCK = 2000
"""Inputs of one line of the log."""

ROOM = 1 << 30
"""Address space beyond what the process has when all is imported, bytes."""

SECONDS = 10
"""Longest that a reader may take over one input; the process is ended then."""

RARE = 20


@dataclass
class Block:
    """How some inputs ended.

    Attributes:
        start: number of the first.
        counts: ``target value|refused`` -> how many.
        findings: what should not have been.
    """

    start: int
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[dict[str, Any]] = field(default_factory=list)

    def line(self) -> str:
        return json.dumps({**vars(self), "counts": dict(self.counts)}) + "\n"


def chosen(targets: Sequence[Target], seed: int, number: int) -> tuple[Target, bytes]:
    """The target and content of an input."""
    rng = random.Random(f"{seed}/{number}")
    target = rng.choice(targets)
    while target.rare and rng.randrange(RARE):
        target = rng.choice(targets)
    return target, mutate(rng.choice(target.seeds), rng, target.seeds)


class Child:
    """A forked process that does inputs and tells in shared memory which one it is at.

    ``only`` names the targets whose inputs are done; the others' numbers are passed over.
    """

    def __init__(self, only: Collection[str] = ()) -> None:
        self.only = only
        self.at = mmap.mmap(-1, 8)

    def run(self, targets: Sequence[Target], seed: int, block: Block, begin: int, end: int) -> str:
        """Do inputs ``begin`` to ``end``; what ended the process early, if anything did."""
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            status = 1
            try:
                _limit()
                with os.fdopen(write, "w") as out:
                    out.write(self._work(targets, seed, begin, end).line())
                status = 0
            finally:
                os._exit(status)
        os.close(write)
        with os.fdopen(read) as said:
            text = said.read()
        _, status = os.waitpid(child, 0)
        if text.endswith("\n"):
            done = json.loads(text)
            block.counts.update(done["counts"])
            block.findings += done["findings"]
            return ""
        return f"ended by {(status & 127 and signal.Signals(status & 127).name) or status >> 8}"

    def number(self) -> int:
        """The input that the process is at, or was at when it ended."""
        (number,) = struct.unpack("<q", self.at[:8])
        return int(number)

    def _work(self, targets: Sequence[Target], seed: int, begin: int, end: int) -> Block:
        block = Block(begin)
        for number in range(begin, end):
            self.at[:8] = struct.pack("<q", number)
            target, content = chosen(targets, seed, number)
            if self.only and target.name not in self.only:
                continue
            signal.alarm(SECONDS)
            start = time.process_time()
            try:
                block.counts[f"{target.name} {target.end(content)}"] += 1
            except Exception as error:
                text = f"{type(error).__name__}: {error}"[:300]
                block.findings.append({"input": number, "target": target.name, "what": text})
            if time.process_time() - start > SECONDS / 2:
                block.findings.append({"input": number, "target": target.name, "what": "slow"})
        signal.alarm(0)
        return block


def _limit() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    room = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # torch and zlib have much to say


def do_block(child: Child, targets: Sequence[Target], seed: int, start: int, size: int) -> Block:
    """One block; an input that ends the process is a finding and the rest goes on without it."""
    block = Block(start)
    begin, end = start, start + size
    while begin < end:
        ended = child.run(targets, seed, block, begin, end)
        if not ended:
            break
        bad = child.number()
        target, _ = chosen(targets, seed, bad)
        block.findings.append({"input": bad, "target": target.name, "what": ended})
        if bad > begin:  # what it had counted is lost with it: again, without the bad one
            child.run(targets, seed, block, begin, bad)
        begin = bad + 1
    return block


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", help="names of targets")
    parser.add_argument("--log", type=Path, default=Path("fuzz.jsonl"))
    args = parser.parse_args()
    done = {}
    if args.log.exists():
        lines = args.log.read_text().splitlines()
        done = {row["start"]: row for row in map(json.loads, lines)}
    with tempfile.TemporaryDirectory() as folder:
        targets = list(all_targets(Path(folder)).values())
        child = Child(args.only or ())
        for start in range(args.start, args.start + args.inputs, BLOCK):
            if start in done:
                continue
            size = min(BLOCK, args.start + args.inputs - start)
            block = do_block(child, targets, args.seed, start, size)
            done[start] = json.loads(block.line())
            with args.log.open("a") as log:
                log.write(block.line())
            for finding in block.findings:
                keep(args.log, targets, args.seed, finding)
    sys.exit(tell(list(done.values())))


def keep(log: Path, targets: Sequence[Target], seed: int, finding: dict[str, Any]) -> None:
    """Write the input of a finding beside the log, and say it."""
    target, content = chosen(targets, seed, finding["input"])
    path = log.with_name(f"{log.stem}-{finding['input']}-{target.file.name}")
    path.write_bytes(content)
    print(f"{path}: {finding['target']}: {finding['what']}", flush=True)


def tell(blocks: Sequence[dict[str, Any]]) -> int:
    """Print the counts by target; 1 if there are findings."""
    counts: Counter[str] = Counter()
    for block in blocks:
        counts.update(block["counts"])
    findings = Counter(f["target"] for block in blocks for f in block["findings"])
    names = sorted({key.split()[0] for key in counts} | set(findings))
    print("| target | inputs | values | refused | findings |\n|---|---|---|---|---|")
    for name in [*names, "all"]:
        of = [n for n in names if name in (n, "all")]
        value, refused = (sum(counts[f"{n} {end}"] for n in of) for end in ("value", "refused"))
        found = sum(findings[n] for n in of)
        print(f"| {name} | {value + refused + found} | {value} | {refused} | {found} |")
    return 1 if findings else 0


if __name__ == "__main__":
    main()
