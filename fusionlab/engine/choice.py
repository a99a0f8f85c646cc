"""Choose the fastest engines for a backbone on this machine: one encodes, one decodes.

Which ones depends on the processor, so they are measured, once (`trial`), and the choice is kept in
the user's cache. It needs to be clear, since other engines round differently.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, TypedDict

import torch

from fusionlab.backbone import Backbone
from fusionlab.engine.base import Engine
from fusionlab.engine.build import build_engine
from fusionlab.engine.precision import Precision
from fusionlab.engine.processor import processor_name
from fusionlab.engine.trial import tried
from fusionlab.errors import FusionlabError
from fusionlab.parameters import describe
from fusionlab.plugins.registry import Plugins
from fusionlab.storage.atomic import atomic_write_all, make_folder
from fusionlab.storage.hashing import sha256_of_json
from fusionlab.storage.own_files import check_own_file
from fusionlab.storage.schema import NotOurs, parse_json
from fusionlab.storage.user_cache import user_cache
from fusionlab.storage.versions import library_versions
from fusionlab.torch_defaults import threads_at_once

FILE_NAME = "engines.json"
MAX_CHOICES = 200
"""How many choices are kept; the oldest is dropped first."""

CLEARLY = 0.93
"""An engine is chosen if it takes at most this share of the time of the default one."""

LIBRARIES = ("fusionlab-imaging", "torch", "openvino", "ncnn")


class _Choice(TypedDict):
    engine: str


class _Choices(TypedDict):
    choices: dict[str, _Choice]


def chosen_engine(
    backbone: Backbone, device: torch.device, precision: Precision, plugins: Plugins
) -> str:
    """Return the name of an engine for `build_engine`, or of two, `ENCODER+DECODER`.

    On a CPU all installed engines that are `automatic` are measured. On other devices, and where
    none is clearly faster, it is the default one. A cache that is damaged or cannot be written
    costs another measurement.
    """
    default = plugins.default("engine")
    names = automatic_engines(plugins)
    if device.type != "cpu" or default not in names or len(names) == 1:
        return default
    case = _case(backbone, precision, names, plugins)
    key, folder = sha256_of_json(case), user_cache()
    kept = _read(folder / FILE_NAME) if folder else {}
    if key in kept:
        chosen: str = kept[key]["engine"]
        if {*chosen.split("+")} <= names.keys():
            return chosen
    engines: dict[str, Engine] = {}
    for name in names:
        with suppress(FusionlabError):  # not installed, or not in this precision
            engines[name] = build_engine(name, backbone, device, precision, plugins)
    if default not in engines or len(engines) == 1:
        return default
    trial = tried(engines, default)
    chosen = trial.fastest if trial.share <= CLEARLY else default
    if folder:
        kept.pop(key, None)
        _write(folder, {**kept, key: {"engine": chosen, "trial": trial._asdict(), "case": case}})
    return chosen


def automatic_engines(plugins: Plugins) -> dict[str, str]:
    """Return the names of the engines that may be chosen -> their plugins."""
    names = {}
    for registration in plugins.engines.registrations:
        with suppress(Exception):  # a stranger's module, which is said where it is asked for
            if registration.ref.load().automatic:
                names[plugins.engines.shortest_name(registration)] = registration.plugin
    return names


def _case(
    backbone: Backbone, precision: Precision, names: dict[str, str], plugins: Plugins
) -> dict[str, Any]:
    """Return what the choice depends on, as plain values."""
    cls = type(backbone)
    return {
        "processor": processor_name(),
        "threads": threads_at_once(),
        "precision": precision,
        "backbone": f"{cls.__module__}:{cls.__qualname__},{describe(backbone)}",
        "shapes": sha256_of_json([[*value.shape] for value in backbone.state_dict().values()]),
        "engines": names,
        "plugins": {p.name: p.version for p in plugins.loaded if p.name in names.values()},
        "libraries": library_versions(LIBRARIES),
    }


def _read(path: Path) -> dict[str, Any]:
    """Return the choices in a file; none if it is damaged, or not ours."""
    try:
        check_own_file(path, reading=True)
        choices: dict[str, Any] = parse_json(path.read_bytes(), _Choices)["choices"]
    except (OSError, NotOurs, FusionlabError):
        return {}
    return choices


def _write(folder: Path, choices: dict[str, Any]) -> None:
    """Write the choices, if this user can."""
    kept = dict([*choices.items()][-MAX_CHOICES:])
    content = json.dumps({"choices": kept}, indent=1).encode()
    with suppress(FusionlabError):
        make_folder(folder)
        with atomic_write_all({folder / FILE_NAME: content}, own=True):
            pass
