"""The matching of folders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, stats

from mvd_toolkit import VoxelGrid, baselines, save, score, upsample_nearest
from mvd_toolkit.cases import Case
from mvd_toolkit.comparison import Sampling
from mvd_toolkit.data import write_description
from mvd_toolkit.errors import InputError, OutputExistsError, UsageError
from mvd_toolkit.evaluate import (
    Match,
    Row,
    evaluate,
    find_items,
    markdown,
    match_by_name,
    summarise,
)
from mvd_toolkit.evaluation_log import EvaluationLog, read_rows
from mvd_toolkit.evaluation_summary import bootstrap, comma_separated
from mvd_toolkit.methods import Method
from mvd_toolkit.pair_file import write_pair
from mvd_toolkit.report.evaluation_page import chosen
from mvd_toolkit.voxelize import pair_of


def paths(root: str, *names: str) -> list[Path]:
    return [Path(root) / name for name in names]


def test_matching_by_name_and_size_mark() -> None:
    matches = match_by_name(
        paths("p", "a.npz", "sub/b_256.binvox", "only_pred.npy", "c_1.npy"),
        paths("t", "a.binvox", "sub/b.npz", "only_truth.npz", "c_1.npz", "c.npz"),
        (Path("p"), Path("t")),
    )
    assert matches == [
        Match("a", Path("p/a.npz"), Path("t/a.binvox")),
        Match("c", None, Path("t/c.npz")),
        Match("c_1", Path("p/c_1.npy"), Path("t/c_1.npz")),
        Match("only_pred", Path("p/only_pred.npy"), None),
        Match("only_truth", None, Path("t/only_truth.npz")),
        Match("sub/b", Path("p/sub/b_256.binvox"), Path("t/sub/b.npz")),
    ]


@pytest.mark.parametrize(
    ("pred", "truth", "text"),
    [
        (("a.npy", "a.npz"), ("a.npy",), "two files called a in p: a.npy and a.npz"),
        (("a.npy", "a_256.npy"), ("a.npy",), "two predictions for a: p/a.npy and p/a_256.npy"),
    ],
)
def test_matching_refuses_to_choose(
    pred: tuple[str, ...], truth: tuple[str, ...], text: str
) -> None:
    with pytest.raises(UsageError, match=text):
        match_by_name(paths("p", *pred), paths("t", *truth), (Path("p"), Path("t")))


# --- rows -----------------------------------------------------------------------------------------


def blob(edge: int, seed: int) -> VoxelGrid:
    """Smooth lumps."""
    values = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(edge,) * 3), 3)
    return VoxelGrid.from_dense(values > np.quantile(values, 0.8))


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """Four fine grids of two kinds."""
    for index, name in enumerate(("chair_1", "chair_2", "lamp_1", "lamp_2")):
        (tmp_path / "shapes").mkdir(exist_ok=True)
        save(blob(32, index), tmp_path / "shapes" / f"{name}.npz")
    return tmp_path / "shapes"


QUICK = Sampling(points=200)


def test_rows_are_the_scores_of_each_method(shapes: Path) -> None:
    items = find_items(shapes, edges=(8, 32))
    rows = list(evaluate(items, ["nearest", "wide=gaussian:sigma=3,threshold=.5"], sampling=QUICK))
    assert [(r.name, r.method) for r in rows[:3]] == [
        ("chair_1", "nearest"),
        ("chair_1", "wide"),
        ("chair_2", "nearest"),
    ]
    pair = pair_of(blob(32, 0), 4)
    assert rows[0].scores == score(upsample_nearest(pair.low, 4), pair.high, sampling=QUICK)
    made = baselines.gaussian(pair.low, 4, 3, 0.5)
    assert rows[1].scores["iou"] == score(made, pair.high, ["iou"])["iou"]
    assert {row.category for row in rows} == {"chair", "lamp"}


def test_any_number_of_processes_gives_the_same_rows(shapes: Path) -> None:
    items = find_items(shapes, edges=(8, 32), low_rule="half")
    one, two = (
        [replace(row, seconds=0) for row in evaluate(items, ["sdf"], ["iou"], workers=n)]
        for n in (1, 2)
    )
    assert one == two
    assert {row.low_rule for row in one} == {"half"}


def test_cases_stream(shapes: Path) -> None:
    items = find_items(shapes, edges=(8, 32))
    taken = []
    rows = evaluate((taken.append(i.name) or i for i in items), ["nearest"], ["iou"])
    next(rows)
    assert taken == ["chair_1"]


def test_methods_of_ones_own() -> None:
    truth = blob(16, 0)
    copy = Method("copy", lambda case: case.truth)
    (row,) = evaluate([Case("x", truth, low=truth)], [copy], ["iou"])
    assert row.scores == {"iou": 1.0}


def test_a_failure_is_a_row(shapes: Path) -> None:
    (shapes / "chair_1.npz").write_bytes(b"nothing")
    rows = list(evaluate(find_items(shapes, edges=(8, 32)), ["nearest"], ["iou"]))
    assert [bool(row.error) for row in rows] == [True, False, False, False]
    assert rows[0].exit_code == 3
    assert summarise(rows)["failed"] == 1


def test_a_bug_is_the_failure_of_its_case_alone() -> None:
    truth = blob(16, 0)
    broken = Method("broken", lambda case: case.truth if case.name == "b" else 1 // 0)
    rows = list(evaluate([Case(name, truth, low=truth) for name in "abc"], [broken], ["iou"]))
    assert [row.scores for row in rows] == [{}, {"iou": 1.0}, {}]
    assert rows[0].exit_code == 1
    assert "a: this is a bug in mvd_toolkit: ZeroDivisionError" in rows[0].error


def test_shapes_of_one_name_are_told_apart(shapes: Path) -> None:
    (shapes / "b").mkdir()
    save(blob(32, 9), shapes / "b" / "chair_1.npz")
    names = [item.name for item in find_items(shapes)]
    twins = [(shapes / place / "chair_1.npz").as_posix() for place in ("b", "")]
    assert names == [*twins, "chair_2", "lamp_1", "lamp_2"]


def test_pairs_of_a_dataset(tmp_path: Path) -> None:
    pair = pair_of(blob(32, 3), 4)
    write_description(tmp_path, [(8, 32)], recipe={})
    write_pair(tmp_path / "test", "chair_7-ab12", pair)
    for rule, low in (("any", pair.low), ("half", pair.low_half), ("centre", pair.low_centre)):
        (item,) = find_items(tmp_path, low_rule=rule)
        case = item.load()
        assert case.truth == pair.high
        assert np.array_equal(case.input.packed, low.packed)
        assert (case.category, case.low_rule, case.scale) == ("chair", rule, 4)
    soft = find_items(tmp_path, low_rule="soft")[0].load().input
    assert soft.coverage is not None
    assert soft.coverage.sum() * 64 == pair.high.count()


# --- summaries ------------------------------------------------------------------------------------


def rows_of(*values: float, method: str = "m") -> list[Row]:
    return [Row(f"i{n}", method, scores={"iou": value}) for n, value in enumerate(values)]


def test_bootstrap_is_that_of_scipy() -> None:
    values = np.random.default_rng(0).random(60)
    expected = stats.bootstrap((values,), np.mean, method="percentile", rng=1).confidence_interval
    assert bootstrap(values.tolist()) == pytest.approx(tuple(expected), abs=0.01)


def test_summary_leaves_undefined_scores_out() -> None:
    summary = summarise(rows_of(0.2, 0.4, float("nan")))
    assert summary["methods"]["m"]["iou"]["mean"] == pytest.approx(0.3)
    assert summary["methods"]["m"]["iou"]["count"] == 2
    assert summary["worst"]["m"][0] == {"name": "i0", "iou": 0.2}
    assert summary["best"]["m"][0] == {"name": "i1", "iou": 0.4}


def test_the_worst_of_what_should_be_low_is_the_highest() -> None:
    rows = [Row(f"i{i}", "m", scores={"chamfer": value}) for i, value in enumerate((0.2, 0.1, 0.3))]
    summary = summarise(rows)
    assert [item["name"] for item in summary["worst"]["m"]] == ["i2", "i0", "i1"]
    assert [item["name"] for item in summary["best"]["m"]] == ["i1", "i0", "i2"]
    assert chosen(rows, summary, "m", 2) == ["i2", "i1"]


def test_markdown_and_csv() -> None:
    rows = [*rows_of(0.5, 0.5), *rows_of(0.25, 0.25, method="n")]
    assert markdown(summarise(rows)) == (
        "| method | low rule | iou |\n|---|---|---|\n"
        "| m | none | 0.500 ± 0.000 |\n| n | none | 0.250 ± 0.000 |\n"
    )
    lines = comma_separated(rows).splitlines()
    assert lines[0] == "name,category,method,low_rule,iou,seconds,error"
    assert lines[1] == "i0,,m,,0.5,0.0000,"


# --- logs -----------------------------------------------------------------------------------------


def test_a_log_goes_on_after_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = rows_of(0.5, float("nan"))
    with EvaluationLog(path, {"a": 1}) as log:
        log.add(rows[0])
    with path.open("a") as file:
        file.write('{"name": "i1", "sco')
    with EvaluationLog(path, {"a": 1}) as log:
        assert log.is_done("i0", ["m"])
        assert not log.is_done("i1", ["m"])
        log.add(rows[1])
        log.add(rows[0])  # of a case that was cut off between two methods
    recipe, found = read_rows([path])
    assert recipe == {"a": 1}
    assert len(path.read_text().splitlines()) == 3
    assert found[0] == rows[0]
    assert np.isnan(found[1].scores["iou"])


def test_a_log_of_another_recipe_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    EvaluationLog(path, {"a": 1}).__exit__(None, None, None)
    with pytest.raises(OutputExistsError, match=r"rows.jsonl: holds rows of another evaluation"):
        EvaluationLog(path, {"a": 2})
    EvaluationLog(path, {"a": 2}, overwrite=True).__exit__(None, None, None)
    (tmp_path / "other").write_text("{}\n")
    with pytest.raises(InputError, match="is no log of an evaluation"):
        read_rows([tmp_path / "other"])
    rows = (tmp_path / "rows.jsonl").read_text() + '{"name": [], "scores": {}}\n'
    (tmp_path / "rows.jsonl").write_text(rows)
    with pytest.raises(InputError, match="expected a row of an evaluation"):
        read_rows([tmp_path / "rows.jsonl"])
