import json
import shutil
import textwrap

import pytest
import torch
from safetensors.torch import load_file, save_file

from mvd_toolkit import model_directory, plugins
from mvd_toolkit.boundary import BoundaryPredictor
from mvd_toolkit.errors import InputError, OutputExistsError, UnavailableError, UsageError
from mvd_toolkit.model import ExternalPredictor, Model
from mvd_toolkit.model_config import Fusion, ModelConfig
from mvd_toolkit.paper import PaperDepth, PaperSilhouette
from mvd_toolkit.predictors import DepthPredictor, SilhouettePredictor
from mvd_toolkit.subvoxel import SubvoxelOptions, SubvoxelPredictor

SMALL = {
    "view": {"backbone": "unet", "scale": 4, "options": {"width": 8, "blocks": 1}},
    "paper": {
        "backbone": "resnet",
        "scale": 4,
        "options": {"width": 8, "blocks": 1, "variant": "authors"},
    },
}
CLASSES = {"view": (SilhouettePredictor, DepthPredictor), "paper": (PaperSilhouette, PaperDepth)}


def small_model(kind="view", **keywords):
    torch.manual_seed(0)
    silhouette, depth = (cls.from_config(SMALL[kind]).eval() for cls in CLASSES[kind])
    return Model.from_predictors(silhouette, depth, scale=4, **keywords)


def small_subvoxel():
    torch.manual_seed(1)
    return SubvoxelPredictor(4, SubvoxelOptions(8, 2)).eval()


def low_grids():
    low = torch.zeros(2, 8, 8, 8, dtype=torch.bool)
    low[0, 2:6, 1:7, 3:5] = True
    low[1, 1:4, 2:5, 1:7] = True
    return low


@pytest.fixture
def saved(tmp_path):
    return small_model().save(tmp_path / "model")


def edit(directory, change):
    """Change config.json in place."""
    path = directory / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


@pytest.mark.parametrize("kind", ["view", "paper"])
def test_a_model_survives_the_round_trip(tmp_path, kind):
    model = small_model(kind, rules=("any",), about={"licence": "CC0-1.0"})
    directory = model.save(tmp_path / "model")
    names = {path.name for path in directory.iterdir()}
    assert names == {"config.json", "silhouette.safetensors", "depth.safetensors", "README.md"}
    loaded = Model.load(directory)
    assert loaded.config == model.config
    assert loaded.hash == model.hash == model_directory.directory_hash(directory)
    for role in ("silhouette", "depth"):
        mine, theirs = getattr(model, role), getattr(loaded, role)
        assert type(theirs) is type(mine)
        assert not theirs.training
        for name, value in mine.state_dict().items():
            expected = value.half().float() if name in dict(mine.named_parameters()) else value
            assert torch.equal(theirs.state_dict()[name], expected), name
    with torch.no_grad():
        answer = loaded.depth(low_grids(), "any")
        expected = model.depth(low_grids(), "any")
    assert answer.shape == (2, 6, 32, 32)
    assert answer.dtype == torch.float32
    assert (answer - expected).abs().max() < 0.5


def test_networks_beside_the_predictors_come_along(tmp_path):
    boundary = BoundaryPredictor(4, SubvoxelOptions(4, 1, 2)).eval()
    model = small_model(subvoxel=small_subvoxel(), boundary=boundary)
    directory = model.save(tmp_path / "model")
    loaded = Model.load(directory)
    assert loaded.config == model.config
    assert loaded.config.more_networks == {
        "subvoxel": {"width": 8, "blocks": 2, "members": 1, "largest": 0},
        "boundary": {"width": 4, "blocks": 1, "members": 2, "largest": 0},
    }
    assert not loaded.subvoxel.training
    assert not loaded.boundary.training
    assert loaded.hash == model.hash == model_directory.directory_hash(directory)
    assert loaded.hash != small_model().hash
    for name, value in model.subvoxel.state_dict().items():
        assert torch.equal(loaded.subvoxel.state_dict()[name], value.half().float()), name
    parameters = sum(weight.numel() for weight in model.subvoxel.parameters())
    assert f"- Fractions: {parameters:,} parameters" in (directory / "README.md").read_text()


def test_a_network_of_another_scale_is_refused():
    with pytest.raises(UsageError, match="subvoxel: expected a network of scale 4, as the"):
        small_model(subvoxel=SubvoxelPredictor(8, SubvoxelOptions(4, 1)))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (
            {"width": 8, "blocks": 3},
            "subvoxel.safetensors: weight 'members.0.blocks.2.0.weight' is missing",
        ),
        (
            {"width": 16, "blocks": 2},
            "subvoxel.safetensors: weight 'members.0.stem.weight': expected shape",
        ),
        ({"width": 0}, "config.json: subvoxel: width: expected a positive whole number, found 0"),
        ({"size": 8}, "config.json: subvoxel: .*'size'"),
        ([8, 2], "config.json: subvoxel: expected dict"),
    ],
)
def test_a_filling_network_that_does_not_fit_is_refused(tmp_path, section, message):
    directory = small_model(subvoxel=small_subvoxel()).save(tmp_path / "model")
    edit(directory, lambda config: config.update(subvoxel=section))
    with pytest.raises(InputError, match=message):
        Model.load(directory)


def test_parameters_are_half_precision_on_disk_and_float32_in_memory(saved):
    stored = load_file(saved / "depth.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    loaded = Model.load(saved)
    assert {p.dtype for p in loaded.depth.parameters()} == {torch.float32}


def test_saving_what_was_loaded_gives_the_same_files(saved, tmp_path):
    again = Model.load(saved).save(tmp_path / "again")
    for path in saved.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_whoever_may_read_one_file_may_read_all(saved):
    assert len({path.stat().st_mode for path in saved.iterdir()}) == 1


def test_the_config_names_the_plugin_and_its_version(saved):
    config = json.loads((saved / "config.json").read_text())
    assert config["schema"] == "mvd.model/1"
    assert config["silhouette"]["plugin"] == "mvd_unet"
    assert config["silhouette"]["plugin_version"] == plugins.provider("backbone", "unet").version
    assert config["fusion"] == {
        "silhouette_threshold": 0.5,
        "smooth_threshold": 6.0,
        "smooth_window": 7,
        "structure_votes": 2,
        "keep_coverage": True,
    }


def test_the_card_tells_what_the_model_is(tmp_path):
    about = {
        "name": "Chairs",
        "licence": "CC-BY-4.0",
        "credit": ["A. Maker", "B. Maker"],
        "scores": {"mean IoU": 0.8125},
    }
    card = (small_model(about=about).save(tmp_path / "model") / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: mvd_toolkit\nlicense: cc-by-4.0\n---\n\n# Chairs\n")
    for part in ("4 times finer", "any, half, centre", "`unet` of plugin mvd_unet", "- B. Maker"):
        assert part in card
    assert "- mean IoU: 0.8125" in card


def test_the_card_of_the_default_model_is_up_to_date():
    card = (model_directory.PACKAGED / "default" / "README.md").read_text(encoding="utf-8")
    assert card == Model.load().card()


def test_the_hash_follows_weights_and_fusion_and_nothing_else():
    model = small_model()
    assert small_model(about={"name": "another card"}).hash == model.hash
    assert small_model(fusion=Fusion(structure_votes=1)).hash != model.hash
    changed = small_model()
    with torch.no_grad():
        next(changed.depth.parameters()).flatten()[0] += 0.25
    assert changed.hash != model.hash


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(schema="mvd.model/9"), "schema: expected 'mvd.model/1'"),
        (lambda c: c.update(schema="mvd.reconstructor/1"), "which `mvd reconstruct -m` takes"),
        (lambda c: c.update(colour="red"), "unknown key 'colour'"),
        (lambda c: c["fusion"].update(votes=3), "unknown key 'fusion.votes'"),
        (lambda c: c["fusion"].update(structure_votes=9), "structure_votes: expected 1 to 6"),
        (lambda c: c["fusion"].update(smooth_threshold="x"), "expected int or float or null"),
        (lambda c: c["fusion"].update(smooth_window=4), "smooth_window: expected an odd number"),
        (lambda c: c.pop("scale"), "key 'scale' is missing"),
        (lambda c: c.update(scale=3), "scale: expected 2, 4 or 8"),
        (lambda c: c.update(scale="4"), "scale: expected int"),
        (lambda c: c.update(rules=["all"]), "rules: expected some of any, half, centre"),
        (lambda c: c.update(rules="any"), "rules: expected list"),
        (lambda c: c["depth"].update(kind="odd"), "depth.kind: expected view, paper or plugin"),
        (lambda c: c["depth"].update(scale=8), "depth: expected role 'depth' and scale 4"),
        (lambda c: c["depth"].update(role="silhouette"), "expected role 'depth'"),
        (lambda c: c["depth"].update(colour="red"), "depth: .*colour"),
        (lambda c: c["depth"].update(backbone=7), "depth.backbone: expected a name"),
        (lambda c: c["depth"]["options"].update(width=16), "expected shape .* found"),
        (lambda c: c["depth"]["options"].update(width=-1), "width: expected at least 1"),
        (lambda c: c["depth"]["options"].update(blocks=2**63 - 1), "blocks: expected 0 to 64"),
        (lambda c: c["depth"]["features"].update(behind=-40), "depth: "),
    ],
)
def test_a_wrong_config_says_what_is_wrong(saved, change, message):
    edit(saved, change)
    with pytest.raises(InputError, match=message) as caught:
        Model.load(saved)
    assert str(saved) in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_config_that_is_no_json_is_an_input_error(saved, content):
    (saved / "config.json").write_bytes(content)
    with pytest.raises(InputError, match=r"config\.json"):
        Model.load(saved)


def test_a_config_over_the_limit_is_not_read(saved):
    with (saved / "config.json").open("ab") as file:
        file.write(b" " * (model_directory.MAX_TEXT_BYTES + 1))
    with pytest.raises(InputError, match="expected at most 1048576 bytes"):
        Model.load(saved)


def test_a_missing_plugin_is_named_with_its_version(saved):
    edit(saved, lambda c: c["depth"].update(backbone="gone", plugin="mvd_gone", plugin_version="7"))
    with pytest.raises(UnavailableError, match="needs backbone 'gone' of plugin mvd_gone 7"):
        Model.load(saved)


def test_weights_that_are_cut_off_or_absent_are_input_errors(saved):
    path = saved / "depth.safetensors"
    content = path.read_bytes()
    for length in (0, 7, 100, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"depth\.safetensors"):
            Model.load(saved)
    path.unlink()
    with pytest.raises(InputError, match=r"depth\.safetensors"):
        Model.load(saved)


def test_weights_that_do_not_fit_are_input_errors(saved):
    path = saved / "silhouette.safetensors"
    good = load_file(path)
    name = sorted(good)[0]
    cases = {
        "is missing": {k: v for k, v in good.items() if k != name},
        "is not part of the network": {**good, "extra": torch.zeros(1)},
        "expected shape": {**good, name: torch.zeros(3)},
        "is not finite": {**good, name: torch.full_like(good[name], float("nan"))},
    }
    for message, state in cases.items():
        save_file(state, path)
        with pytest.raises(InputError, match=message):
            Model.load(saved)


def test_a_huge_config_allocates_nothing(saved):
    edit(saved, lambda c: c["depth"]["options"].update(width=2**20))
    with pytest.raises(InputError, match="expected shape"):
        Model.load(saved)


def test_a_weight_out_of_range_is_not_saved(tmp_path):
    model = small_model()
    with torch.no_grad():
        next(model.depth.parameters()).flatten()[0] = 1e6
    with pytest.raises(InputError, match="not finite in half precision"):
        model.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_saving_replaces_models_only_and_only_when_told(saved, tmp_path):
    model = small_model(fusion=Fusion(structure_votes=1))
    with pytest.raises(OutputExistsError, match="exists"):
        model.save(saved)
    assert model.save(saved, overwrite=True) == saved
    assert Model.load(saved).config.fusion.structure_votes == 1
    stranger = tmp_path / "thesis"
    stranger.mkdir()
    (stranger / "chapter.tex").write_text("years of work")
    with pytest.raises(OutputExistsError, match="is no model directory"):
        model.save(stranger, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "thesis"]


def test_a_training_run_says_where_its_model_is(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "run" / "model")
    with pytest.raises(
        UnavailableError, match=r"this is a training run, its model is .*run/model$"
    ):
        Model.load(tmp_path / "run")


def test_names_paths_and_the_default(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(model_directory, "PACKAGED", tmp_path / "weights")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnavailableError, match="the default model is not there"):
        Model.load()
    with pytest.raises(UnavailableError, match="no model 'chairs'"):
        Model.load("chairs")
    with pytest.raises(UnavailableError, match=r"no model '\./chairs'"):
        Model.load("./chairs")
    shutil.copytree(saved, tmp_path / "weights" / "default")
    shutil.copytree(saved, tmp_path / "weights" / "chairs")
    assert Model.load().hash == Model.load("chairs").hash == Model.load("model").hash
    with pytest.raises(UnavailableError, match="one of chairs, default"):
        Model.load("tables")


def test_the_config_is_checked_when_it_is_made():
    with pytest.raises(InputError, match="silhouette_threshold"):
        Fusion(silhouette_threshold=1.5)
    with pytest.raises(InputError, match="rules: expected some of"):
        ModelConfig(scale=4, silhouette={}, depth={}, rules=())


PLUGIN = """
    from pathlib import Path
    import json
    from mvd_toolkit.hookspecs import hookimpl
    from mvd_toolkit.specs import PredictorSpec

    __version__ = "0.3"

    def fit(dataset, run):
        (Path(run) / "level.json").write_text(json.dumps(0.25))

    def load(directory):
        import torch
        level = json.loads((Path(directory) / "level.json").read_text())

        def predict(low):
            batch, edge = len(low), low.shape[-1]
            return torch.full((batch, 6, 4 * edge, 4 * edge), level)

        return predict

    @hookimpl
    def mvd_register_predictors(register):
        register(PredictorSpec(name="flat", role="silhouette", fit=fit, load=load, scales=(4,)))
"""


@pytest.fixture
def flat_plugin(tmp_path, monkeypatch):
    """A plugin with a predictor that always answers 0.25."""
    (tmp_path / "flat_plugin.py").write_text(textwrap.dedent(PLUGIN))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("MVD_PLUGINS", "flat_plugin")
    plugins.reload_plugins()
    yield "flat"
    monkeypatch.undo()
    plugins.reload_plugins()


def test_a_predictor_of_a_plugin_is_part_of_a_model(flat_plugin, tmp_path):
    fitted = tmp_path / "fitted"
    fitted.mkdir()
    plugins.predictor(flat_plugin).fit(None, fitted)
    depth = DepthPredictor.from_config(SMALL["view"]).eval()
    silhouette = ExternalPredictor(flat_plugin, fitted)
    model = Model.from_predictors(silhouette, depth, scale=4)
    directory = model.save(tmp_path / "model")
    assert (directory / "silhouette" / "level.json").exists()
    loaded = Model.load(directory)
    assert loaded.hash == model.hash == model_directory.directory_hash(directory)
    assert loaded.config.silhouette["plugin_version"] == "0.3"
    answer = loaded.silhouette(low_grids(), "any")
    assert answer.shape == (2, 6, 32, 32)
    assert float(answer.min()) == float(answer.max()) == 0.25
    (directory / "silhouette" / "level.json").write_text("0.5")
    assert Model.load(directory).hash != model.hash
    (directory / "silhouette" / "level.json").write_text("}")
    with pytest.raises(InputError, match=r"silhouette: plugin flat_plugin 0\.3 cannot load it"):
        Model.load(directory)


def test_a_predictor_of_a_plugin_passes_its_check(flat_plugin, tmp_path):
    from mvd_toolkit.testing import check_predictor

    check_predictor(plugins.predictor(flat_plugin), tmp_path / "work")
