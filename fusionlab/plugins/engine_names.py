"""The names of engines: one, or two with a plus sign between, of which the second decodes."""

from __future__ import annotations

from fusionlab.plugins.offers import EngineRef
from fusionlab.plugins.registry import Plugins, Registration

DEFAULT = "eager"
"""The engine where the user does not choose one."""

AUTO = "auto"
"""The word for the engines that are the fastest on this machine."""


def engines_named(name: str, plugins: Plugins) -> list[Registration[EngineRef]]:
    """Return the engine `[PLUGIN:]NAME`, or the two of `ENCODER+DECODER`.

    Raises:
        FusionlabError: there is no engine of this name (code `unknown-name`).
    """
    encoder, plus, decoder = name.partition("+")
    return [plugins.engines.find(part) for part in ([encoder, decoder] if plus else [name])]
