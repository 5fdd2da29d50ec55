"""The card of a model directory: its README.md, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def model_card(config: Mapping[str, Any], parameters: Mapping[str, int]) -> str:
    """The card of a model.

    Args:
        config: the content of config.json. Each entry of its ``about`` becomes a section: text as
            it is, lists and mappings as bullets; ``name`` is the title and ``licence`` is also
            told in the header that model hubs read.
        parameters: how many parameters each network has, by name, where known.
    """
    about = dict(config["about"])
    lines = [
        *_header(about.get("licence")),
        f"# {about.pop('name', 'MVD model')}",
        "",
        f"Makes coarse voxel grids {config['scale']} times finer along each axis with mvd_toolkit "
        f"{config['version']}: `mvd upscale -m THIS_FOLDER grid.binvox`.",
        "",
        f"- Low rules: {', '.join(config['rules'])}",
    ]
    for role in ("silhouette", "depth"):
        lines.append(f"- {role.capitalize()}: {_summary(config[role], parameters.get(role))}")
    for name, text in (("boundary", "Boundary"), ("subvoxel", "Fractions")):
        if name in config:
            lines.append(f"- {text}: {parameters[name]:,} parameters")
    for key, value in about.items():
        lines += ["", f"## {key.replace('_', ' ').capitalize()}", "", *_section(value)]
    return "\n".join(lines) + "\n"


def _header(licence: Any) -> list[str]:
    header = ["---", "library_name: mvd_toolkit"]
    if isinstance(licence, str) and licence.isprintable() and ":" not in licence:
        header.append(f"license: {licence.lower()}")
    return [*header, "---", ""]


def _summary(section: Mapping[str, Any], parameters: int | None) -> str:
    what = section.get("backbone") or section.get("predictor")
    text = f"`{what}` of plugin {section.get('plugin')} {section.get('plugin_version')}"
    return text if parameters is None else f"{text}, {parameters:,} parameters"


def _section(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [f"- {key}: {_inline(item)}" for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return [f"- {_inline(item)}" for item in value]
    return [_inline(value)]


def _inline(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def reconstructor_card(config: Mapping[str, Any], parameters: int) -> str:
    """The card of a reconstructor's model; see `model_card`.

    Args:
        config: the content of config.json.
        parameters: how many the network has.
    """
    about = dict(config["about"])
    edge = config["edge"]
    lines = [
        *_header(about.get("licence")),
        f"# {about.pop('name', 'MVD reconstructor')}",
        "",
        f"Makes a grid of {edge}³ voxels of one picture with mvd_toolkit {config['version']}: "
        "`mvd reconstruct -m THIS_FOLDER picture.png`.",
        "",
        f"- Network: `{config['reconstructor']}` of plugin {config['plugin']} "
        f"{config['plugin_version']}, {parameters:,} parameters",
        f"- Pictures: {config['size']}x{config['size']} pixels, cut out on white",
        f"- Grids: low rule {config['rule']}, axes of the {config['frame']}, z up",
    ]
    for key, value in about.items():
        lines += ["", f"## {key.replace('_', ' ').capitalize()}", "", *_section(value)]
    return "\n".join(lines) + "\n"
