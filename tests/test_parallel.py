"""Several processes train as one does with the whole batch; needs the extra ``distributed``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mvd_toolkit.errors import UsageError
from mvd_toolkit.parallel import Parallel, connect
from mvd_toolkit.testing import make_tiny_dataset
from mvd_toolkit.train import train

OPTIONS = {
    "options": {
        "width": 8,
        "blocks": 1,
        "features.behind": 4,
        "subvoxel.width": 8,
        "subvoxel.blocks": 1,
        "boundary.width": 8,
        "boundary.blocks": 1,
    },
    "boundary": True,
    "rules": {"any": 0.5, "half": 0.2, "soft": 0.3},
    "batch_size": 4,
    "validate_every": 3,
    "seed": 3,
}

SCRIPT = """
import json, sys
import torch
from mvd_toolkit.train import train

torch.set_num_threads(1)
if __name__ == "__main__":
    train(sys.argv[1], sys.argv[2], devices=2, steps=int(sys.argv[3]), **json.loads(sys.argv[4]))
"""


def weights(run: Path) -> dict[str, torch.Tensor]:
    """The trained weights of all networks, by name."""
    state = torch.load(run / "state" / "last.pt", weights_only=True)["learners"]
    return {f"{role}.{n}": t for role in state for n, t in state[role]["predictor"].items()}


def start(script: Path, *arguments: object) -> subprocess.Popen[str]:
    script.write_text(SCRIPT)
    environment = {k: v for k, v in os.environ.items() if k not in ("RANK", "LOCAL_RANK")}
    command = [sys.executable, str(script), *map(str, arguments), json.dumps(OPTIONS)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def test_two_processes_are_one_with_the_same_batch(tmp_path: Path) -> None:
    pytest.importorskip("lightning_fabric")
    dataset = make_tiny_dataset(tmp_path / "data", low=8, scale=4, count=8)
    process = start(tmp_path / "script.py", dataset, tmp_path / "two", 4)
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    train(dataset, tmp_path / "one", steps=4, **OPTIONS)
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    begun = weights_at_start(dataset, tmp_path)
    for name, tensor in one.items():
        assert torch.allclose(two[name], tensor, rtol=0, atol=1e-5), name
    assert any((tensor - begun[name]).abs().max() > 1e-3 for name, tensor in one.items())
    lines = (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines if "val_iou" in line] == [3, 4]


def weights_at_start(dataset: Path, tmp_path: Path) -> dict[str, torch.Tensor]:
    train(dataset, tmp_path / "zero", steps=1, lr=1e-12, **OPTIONS)
    return weights(tmp_path / "zero")


def test_one_process_needs_no_fabric() -> None:
    parallel = connect("cpu")
    assert type(parallel) is Parallel
    assert (parallel.first, parallel.world) == (True, 1)
    assert (parallel.any(15), parallel.weight(7)) == (15, 1.0)
    assert parallel.share(1.5, 2.0) == [1.5, 2.0]


def test_impossible_numbers_of_devices_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="devices, nodes: expected at least 1, found 0 and 1"):
        connect("cpu", devices=0)


def test_a_batch_that_cannot_be_parted_is_a_usage_error(tmp_path: Path) -> None:
    from mvd_toolkit.data import PairDataset
    from mvd_toolkit.training_batches import Batches

    dataset = PairDataset(make_tiny_dataset(tmp_path, low=4, scale=2), "train")
    with pytest.raises(UsageError, match="a multiple of the 2 processes, found 5"):
        Batches(dataset, 5, part=(0, 2))
    whole = Batches(dataset, 4, seed=1).batch(3)
    parts = [Batches(dataset, 4, seed=1, part=(rank, 2)).batch(3) for rank in range(2)]
    assert torch.equal(torch.cat([part.low for part in parts]), whole.low)
    assert torch.equal(torch.cat([part.odms for part in parts]), whole.odms)
