"""What a training is set to: options, presets, rules."""

import json

import pytest

from mvd_toolkit import plugins
from mvd_toolkit.errors import UnavailableError, UsageError
from mvd_toolkit.training_settings import PRESETS, Settings, make_settings, parse_rules


def test_set_options_reach_their_role_and_are_typed():
    settings = make_settings(
        options={
            "width": "16",
            "depth.blocks": "3",
            "features.behind": "6",
            "depth.quantile": "0.4",
            "symmetries": "2",
        }
    )
    silhouette, depth = settings.options["silhouette"], settings.options["depth"]
    assert (silhouette["options"]["width"], depth["options"]["width"]) == (16, 16)
    assert depth["options"]["blocks"] == 3
    assert silhouette["options"]["blocks"] == plugins.backbone("unet").options().blocks
    assert silhouette["features"]["behind"] == depth["features"]["behind"] == 6
    assert depth["quantile"] == 0.4
    assert silhouette["symmetries"] == depth["symmetries"] == 2
    assert "quantile" not in silhouette


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "fast"}, "preset: expected one of default, paper"),
        ({"steps": 3, "epochs": 2}, "expected one of epochs, steps, minutes, found 2"),
        ({"options": {"wdth": "3"}}, "unet has no option 'wdth'"),
        ({"options": {"width": "x"}}, "expected a whole number, found 'x'"),
        ({"options": {"depth.quantile": "2"}}, "quantile: expected between 0 and 1"),
        ({"options": {"features.colour": "2"}}, "has no option 'features.colour'"),
        (
            {"options": {"subvoxel.width": "2"}},
            "subvoxel.width: that network does not",
        ),
        (
            {"options": {"subvoxel.size": "2"}, "rules": {"soft": 1.0}},
            "subvoxel has no option 'size'",
        ),
        (
            {"options": {"subvoxel.width": "0"}, "rules": {"soft": 1.0}},
            "width: expected a positive",
        ),
        ({"batch_size": 0}, "batch_size: expected at least 1, found 0"),
        ({"faces": 7}, "faces: expected at most 6, found 7"),
        ({"lr": float("nan")}, "lr: expected"),
        ({"momentum": 1}, "training has no setting 'momentum'"),
        ({"options": {"train.momentum": 1}}, "unet has no option 'train.momentum'"),
        ({"options": {"train.ema": "x"}}, "'ema' of train: expected a number or none, found 'x'"),
        ({"patience": 0}, "patience: expected at least 1, found 0"),
        ({"rules": {"all": 1.0}}, r"expected some of any, half, centre, soft, found \['all'\]"),
        ({"preset": "paper", "adversarial": 1.0}, "preset paper has losses of its own"),
    ],
)
def test_settings_that_make_no_sense_are_usage_errors(arguments, message):
    with pytest.raises(UsageError, match=message):
        make_settings(**arguments)


def test_set_reaches_the_training_too():
    settings = make_settings(options={"train.ema": "none", "train.betas": "0.5,0.9"}, lr=0.5)
    assert (settings.ema, settings.betas, settings.lr) == (None, (0.5, 0.9), 0.5)
    assert make_settings(options={"train.lr": "0.25"}).lr == 0.25


def test_rules_are_read_from_text():
    assert parse_rules("half") == {"half": 1.0}
    assert parse_rules("any=0.5, centre=0.25") == {"any": 0.5, "centre": 0.25}
    for text in ("some", "any=x", "any=0", "any=-1", ""):
        with pytest.raises(UsageError, match="low rule"):
            parse_rules(text)


def test_an_unknown_backbone_lists_the_known():
    with pytest.raises(UnavailableError, match=r"no backbone 'vit': these are installed: .*unet"):
        make_settings(backbone="vit")


def test_the_paper_preset_is_the_authors():
    settings = make_settings("paper", options={"depth.range": "35"})
    assert settings.kind == "paper"
    assert settings.depth == settings.silhouette == "resnet"
    assert settings.options["depth"]["options"] == {
        "width": 128,
        "blocks": 16,
        "variant": "authors",
    }
    assert settings.options["depth"]["range"] == 35.0
    assert (settings.lr, settings.betas, settings.batch_size) == (1e-4, (0.5, 0.9), 64)
    assert settings.weight_decay == 0
    assert settings.clip is settings.ema is None


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_settings_survive_json(preset):
    settings = make_settings(preset, steps=5)
    again = Settings.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert again.to_dict() == settings.to_dict()
    assert again.betas == settings.betas
