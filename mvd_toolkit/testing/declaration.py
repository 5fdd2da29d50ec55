"""What a spec says of itself."""

from __future__ import annotations

from typing import Any

from mvd_toolkit.plugin_contract import PluginError, check_spec


def check_declaration(spec: Any) -> None:
    """Check a spec or format as loading a plugin does.

    Raises:
        AssertionError: what breaks the contract.
    """
    try:
        check_spec(spec)
    except PluginError as error:
        raise AssertionError(str(error)) from error
