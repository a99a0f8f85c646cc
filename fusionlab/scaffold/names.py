"""The names of a new strategy, its class, its module and its distribution."""

from __future__ import annotations

import builtins
import keyword
import re
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from importlib.util import find_spec

import fusionlab
from fusionlab.errors import FusionlabError
from fusionlab.plugins.registry import Plugins

_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?")
"""Stricter than `fusionlab.parameters.NAME`, because Python and PyPI must accept the name too."""


_ON_WINDOWS = re.compile("con|prn|aux|nul|com[0-9]|lpt[0-9]", re.IGNORECASE)
"""Names that Windows keeps for devices."""


@dataclass(frozen=True)
class Names:
    """The names that follow from the name of a strategy.

    Raises:
        FusionlabError: Python or PyPI would not accept one of them (code `invalid-name`).
    """

    strategy: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.strategy):
            raise FusionlabError(
                "the name of a strategy may contain letters, digits, '_' and '-', must begin with "
                f"a letter, and must end with a letter or digit, got {self.strategy!r}",
                code="invalid-name",
            )
        if any(map(keyword.iskeyword, (self.strategy, self.class_name))):
            raise FusionlabError(
                f"{self.strategy!r} is a keyword of Python; choose another name",
                code="invalid-name",
            )

        if _ON_WINDOWS.fullmatch(self.strategy):
            raise FusionlabError(
                f"Windows has no file or folder called {self.strategy!r}, and results are kept in "
                "folders with the names of strategies; choose another name",
                code="invalid-name",
            )

    @property
    def identifier(self) -> str:
        """The name in file names: `my_strategy`."""
        return re.sub(r"[_-]+", "_", self.strategy).lower()

    @property
    def module(self) -> str:
        """The name of the module: `fusionlab_my_strategy`."""
        return f"fusionlab_{self.identifier}"

    @property
    def distribution(self) -> str:
        """The name for pip, and of the folder: `fusionlab-my-strategy`."""
        return self.module.replace("_", "-")

    @property
    def class_name(self) -> str:
        """The name of the class: `MyStrategy`."""
        return "".join(part[:1].upper() + part[1:] for part in re.split("[_-]+", self.strategy))


def check_available(names: Names, plugins: Plugins) -> None:
    """Check that none of the names is in use.

    Raises:
        FusionlabError: one is (code `name-taken`).
    """
    for registration in plugins.strategies.registrations:
        if registration.ref.name == names.strategy:
            raise FusionlabError(
                f"{registration.plugin} already offers a strategy {names.strategy!r}, and the name "
                "would be ambiguous in every command; choose another name",
                code="name-taken",
            )
    if _is_installed(names.distribution) or find_spec(names.module):
        raise FusionlabError(
            f"the package would be called {names.distribution}, and would replace the installed "
            "package of that name; choose another name",
            code="name-taken",
        )
    for module, owner in ((builtins, "a built-in of Python"), (fusionlab, "a name of fusionlab")):
        if names.class_name in dir(module):
            raise FusionlabError(
                f"the class would be called {names.class_name}, like {owner}; choose another name",
                code="name-taken",
            )
    if names.identifier in sys.stdlib_module_names or names.identifier in packages_distributions():
        raise FusionlabError(
            f"{names.strategy!r} is the name of a module of Python or of an installed package, "
            "with which it would be confused; choose another name",
            code="name-taken",
        )


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
