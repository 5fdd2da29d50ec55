import subprocess
import sys
import textwrap
from importlib.metadata import EntryPoint

import pytest

from mvd_toolkit import plugins
from mvd_toolkit.errors import UnavailableError
from mvd_toolkit.plugin_loading import GROUP, load_plugins

GOOD = """
    from mvd_toolkit.hookspecs import hookimpl
    from mvd_toolkit.specs import BackboneSpec, PredictorSpec

    __version__ = "1.2"

    @hookimpl
    def mvd_register_backbones(register):
        register(BackboneSpec(name="{name}", build=lambda *args, **options: None))
"""


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Writes a plugin module and gives its entry point."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(module: str, source: str) -> EntryPoint:
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        sys.modules.pop(module, None)
        return EntryPoint(module, module, GROUP)

    return write


@pytest.fixture
def fresh(monkeypatch):
    """An empty MVD_PLUGINS and nothing remembered, before and after."""
    monkeypatch.delenv("MVD_PLUGINS", raising=False)
    plugins.reload_plugins()
    yield monkeypatch
    monkeypatch.undo()
    plugins.reload_plugins()


def status(registry):
    return {row.name: row.status for row in registry.rows}


def error(registry, name):
    return next(row.error for row in registry.rows if row.name == name)


def test_the_package_brings_resnet_and_unet(fresh):
    assert {"resnet", "unet"} <= set(plugins.backbones())
    row = plugins.provider("backbone", "resnet")
    assert (row.module, row.distribution, row.status) == ("mvd_resnet", "mvd_toolkit", "ok")
    assert row.version


def test_looking_at_the_package_plugins_loads_no_torch():
    code = "import sys; from mvd_toolkit import plugins; plugins.plugin_report(); "
    code += "assert plugins.backbone('resnet'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("def broken(:", "SyntaxError"),
        (
            """
            from mvd_toolkit.hookspecs import hookimpl
            @hookimpl
            def mvd_register_backbones(register):
                raise RuntimeError("no licence server")
            """,
            "RuntimeError: no licence server",
        ),
        (
            """
            from mvd_toolkit.hookspecs import hookimpl
            @hookimpl
            def mvd_register_backbones(register):
                register("resnet2")
            """,
            "expected a BackboneSpec, found a str",
        ),
        (
            """
            def mvd_register_backbones(register):
                pass
            """,
            "mvd_register_backbones: expected it to be marked with @hookimpl",
        ),
        (
            """
            from mvd_toolkit.hookspecs import hookimpl
            from mvd_toolkit.specs import BackboneSpec
            @hookimpl
            def mvd_register_backbones(register):
                register(BackboneSpec(name="next", build=print, api=2))
            """,
            "BackboneSpec 'next': written for plugin api 2, this mvd speaks 1",
        ),
        (
            """
            from mvd_toolkit.hookspecs import hookimpl
            from mvd_toolkit.specs import BackboneSpec
            @hookimpl
            def mvd_register_backbones(register):
                register(BackboneSpec(name="Bad Name", build=print))
            """,
            "expected a name of a-z",
        ),
        (
            """
            from dataclasses import dataclass
            from mvd_toolkit.hookspecs import hookimpl
            from mvd_toolkit.specs import BackboneSpec
            @dataclass
            class Options:
                width: int
            @hookimpl
            def mvd_register_backbones(register):
                register(BackboneSpec(name="wide", build=print, options=Options))
            """,
            "option 'width' has no default",
        ),
        (
            """
            from mvd_toolkit.hookspecs import hookimpl
            @hookimpl
            def mvd_register_bakbones(register):
                pass
            """,
            "unknown hook 'mvd_register_bakbones'",
        ),
        (
            """
            from mvd_toolkit.hookspecs import hookimpl
            @hookimpl
            def mvd_register_backbones(registry):
                pass
            """,
            "PluginValidationError",
        ),
    ],
)
def test_a_broken_plugin_is_a_row_and_the_others_work(make, source, reason):
    broken = make("aa_broken", source)
    good = make("bb_good", GOOD.format(name="good"))
    registry = load_plugins([broken, good])
    assert status(registry) == {"aa_broken": "failed", "bb_good": "ok"}
    assert list(registry.backbones) == ["good"]
    assert reason in error(registry, "aa_broken")


def test_the_later_of_two_plugins_with_one_name_fails(make):
    first = make("aa_first", GOOD.format(name="same"))
    second = make("bb_second", GOOD.format(name="same"))
    registry = load_plugins([second, first])
    assert status(registry) == {"aa_first": "ok", "bb_second": "failed"}
    assert "BackboneSpec 'same': the name is taken" in error(registry, "bb_second")


def test_the_package_wins_over_a_plugin_that_sorts_before_it(make):
    thief = make("aa_thief", GOOD.format(name="resnet"))
    registry = load_plugins([thief, *plugins.entry_points(group=GROUP)])
    assert registry.backbones["resnet"].build.__module__ == "mvd_resnet"
    assert status(registry)["aa_thief"] == "failed"


def test_a_plugin_that_fails_midway_adds_nothing(make):
    half = make(
        "half",
        """
        from mvd_toolkit.hookspecs import hookimpl
        from mvd_toolkit.specs import BackboneSpec
        @hookimpl
        def mvd_register_backbones(register):
            register(BackboneSpec(name="one", build=print))
            register(BackboneSpec(name="one", build=print))
        """,
    )
    registry = load_plugins([half])
    assert registry.backbones == {}
    assert status(registry) == {"half": "failed"}


def test_a_predictor_is_registered(make):
    point = make(
        "classical",
        """
        from mvd_toolkit.hookspecs import hookimpl
        from mvd_toolkit.specs import PredictorSpec
        @hookimpl
        def mvd_register_predictors(register):
            register(PredictorSpec(name="flat", role="depth", fit=print, load=print))
        """,
    )
    registry = load_plugins([point])
    assert list(registry.predictors) == ["flat"]
    assert registry.rows[0].predictors == ("flat",)


def test_the_environment_adds_a_module(make, fresh):
    make("from_environment", GOOD.format(name="extra"))
    fresh.setenv("MVD_PLUGINS", " from_environment ,")
    assert plugins.backbone("extra").name == "extra"
    assert plugins.provider("backbone", "extra").version == "1.2"


def test_the_environment_switches_plugins_off(fresh):
    fresh.setenv("MVD_PLUGINS", "-unet,-nothing")
    rows = {row.name: row for row in plugins.plugin_report()}
    assert rows["unet"].status == "off"
    assert rows["nothing"].status == "failed"
    with pytest.raises(
        UnavailableError, match=r"no backbone 'unet': these are installed: .*resnet"
    ):
        plugins.backbone("unet")


def test_an_unknown_name_tells_of_plugins_that_failed(make, fresh):
    make("ill", "raise OSError('gone')")
    fresh.setenv("MVD_PLUGINS", "ill")
    with pytest.raises(UnavailableError, match=r"plugins that failed to load: .*\bill\b"):
        plugins.backbone("wished")


FORMAT = """
    from mvd_toolkit import Format, VoxelGrid, hookimpl

    def read(path, limits):
        {read}

    @hookimpl
    def mvd_register_formats(register):
        register(Format(
            name="{name}", suffixes=("{suffix}",), kind="grid", keeps="a voxel",
            matches=lambda head, size: head.startswith(b"ONE"),
            read=read, write=lambda grid, file: file.write(b"ONE"),
        ))
"""
ONE = "return VoxelGrid.from_dense([[[1]]])"


def test_the_package_s_formats_come_through_the_hook(fresh):
    row = plugins.provider("format", "binvox")
    assert (row.name, row.module, row.status) == ("formats", "mvd_toolkit.io.builtin", "ok")
    assert list(plugins.formats())[: len(row.formats)] == list(row.formats)
    assert plugins.plugin_report()[0] == row


@pytest.mark.parametrize(
    ("name", "suffix", "reason"),
    [
        ("binvox", ".one", "Format 'binvox': the name is taken"),
        ("one", ".stl", "Format 'one': the suffix .stl is that of format 'stl'"),
        ("one", "one", "expected suffixes in lower case with their dot"),
        ("one", ".ONE", "expected suffixes in lower case with their dot"),
        ("One", ".one", "expected a name of a-z"),
    ],
)
def test_a_format_that_is_not_right(make, fresh, name, suffix, reason):
    make("wrong", FORMAT.format(name=name, suffix=suffix, read=ONE))
    fresh.setenv("MVD_PLUGINS", "wrong")
    row = plugins.plugin_report()[-1]
    assert (row.name, row.status) == ("wrong", "failed")
    assert reason in row.error
    assert plugins.formats()["stl"].suffixes == (".stl",)


def test_a_format_of_a_plugin_from_mvd_convert(make, fresh, tmp_path, capsys):
    from mvd_toolkit import load, save
    from mvd_toolkit.cli import run

    make("mine", FORMAT.format(name="one", suffix=".one", read=ONE))
    fresh.setenv("MVD_PLUGINS", "mine")
    save(load_one(), tmp_path / "a.npz")
    assert run(["convert", str(tmp_path / "a.npz"), "-o", str(tmp_path / "b.one")]) == 0
    assert (tmp_path / "b.one").read_bytes() == b"ONE"
    assert run(["convert", str(tmp_path / "b.one"), "-o", str(tmp_path / "c.stl")]) == 0
    assert run(["convert", str(tmp_path / "b.one"), "-o", str(tmp_path / "d.npz")]) == 0
    assert load(tmp_path / "d.npz").count() == 1
    capsys.readouterr()
    assert run(["formats"]) == 0
    assert "one" in capsys.readouterr().out


def load_one():
    from mvd_toolkit import VoxelGrid

    return VoxelGrid.from_dense([[[1]]])


def test_a_reader_of_a_plugin_that_breaks_is_named(make, fresh, tmp_path):
    from mvd_toolkit import load

    make("ill_reader", FORMAT.format(name="one", suffix=".one", read="raise KeyError('size')"))
    fresh.setenv("MVD_PLUGINS", "ill_reader")
    (tmp_path / "a.one").write_bytes(b"ONE")
    with pytest.raises(
        UnavailableError, match="format 'one' of plugin 'ill_reader' failed: KeyError: 'size'"
    ):
        load(tmp_path / "a.one")


def test_a_matches_of_a_plugin_that_breaks_matches_nothing(make, fresh, tmp_path):
    from mvd_toolkit.io import sniff

    source = FORMAT.format(name="one", suffix=".one", read=ONE)
    make("ill_match", source.replace('head.startswith(b"ONE")', "1 / 0"))
    fresh.setenv("MVD_PLUGINS", "ill_match")
    (tmp_path / "a.obj").write_text("v 0 0 0\n")
    assert sniff(tmp_path / "a.obj").name == "obj"
