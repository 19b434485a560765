# SPDX-License-Identifier: Apache-2.0
"""The build backend that pip calls: meson-python, with Python's stable interface wherever nanobind can use it.

One module for all versions needs Python 3.12 or later with the interpreter lock; for any other interpreter the module,
and so the name of the wheel, is of that version alone. meson-python takes that choice from a fixed line of
pyproject.toml, so it is undone here.
"""
import sys
import sysconfig
from typing import Any, Optional

import mesonpy
from mesonpy import (  # noqa: F401 (hooks that pip looks up here)
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
)

STABLE = sys.version_info >= (3, 12) and not sysconfig.get_config_var("Py_GIL_DISABLED")

Settings = Optional[dict[str, Any]]


def adjust(settings: Settings) -> dict[str, Any]:
    """The caller's settings, with the stable interface switched off where there is none."""
    result = dict(settings or {})
    if not STABLE:
        given = result.get("setup-args", [])
        result["setup-args"] = [*([given] if isinstance(given, str) else given), "-Dpython.allow_limited_api=false"]
    return result


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: Optional[str] = None) -> str:
    return str(mesonpy.build_wheel(wheel_directory, adjust(config_settings), metadata_directory))


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: Optional[str] = None
) -> str:
    return str(mesonpy.build_editable(wheel_directory, adjust(config_settings), metadata_directory))
