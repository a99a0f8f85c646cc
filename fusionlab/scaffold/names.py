"""What a new strategy, its class, its module and its distribution are called."""

from __future__ import annotations

import builtins
import keyword
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec

from fusionlab.errors import FusionlabError
from fusionlab.plugins.registry import Plugins

_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9_-]*[A-Za-z0-9])?")
"""Narrower than `fusionlab.parameters.NAME`: it becomes a name in Python and on PyPI, too."""


@dataclass(frozen=True)
class Names:
    """The names that follow from the name of a strategy.

    Raises:
        FusionlabError: none that Python and PyPI take would follow.
    """

    strategy: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.strategy):
            raise FusionlabError(
                "the name of a new strategy consists of letters, digits, '_' and '-', begins with "
                f"a letter and does not end in '_' or '-', got {self.strategy!r}"
            )
        if any(map(keyword.iskeyword, (self.strategy, self.cls))):
            raise FusionlabError(f"{self.strategy!r} is a word of Python; choose another name")

    @property
    def identifier(self) -> str:
        """In the names of files: `my_rule`."""
        return re.sub(r"[_-]+", "_", self.strategy).lower()

    @property
    def module(self) -> str:
        """`fusionlab_my_rule`."""
        return f"fusionlab_{self.identifier}"

    @property
    def distribution(self) -> str:
        """What pip calls it, and the folder, too: `fusionlab-my-rule`."""
        return self.module.replace("_", "-")

    @property
    def cls(self) -> str:
        """`MyRule`."""
        return "".join(part[:1].upper() + part[1:] for part in re.split("[_-]+", self.strategy))


def check_free(names: Names, plugins: Plugins) -> None:
    """See to it that the new package would stand in nobody's way.

    Raises:
        FusionlabError: one of its names is taken already.
    """
    for registration in plugins.strategies.registrations:
        if registration.ref.name == names.strategy:
            raise FusionlabError(
                f"{registration.plugin} offers a strategy {names.strategy!r} already, and of two "
                "of one name every command would ask which; choose another name"
            )
    if _installed(names.distribution) or find_spec(names.module):
        raise FusionlabError(
            f"the package would be called {names.distribution}, and there is one of that name "
            "already, which it would replace; choose another name"
        )
    if hasattr(builtins, names.cls):
        raise FusionlabError(
            f"the class would be called {names.cls}, as one of Python's own; choose another name"
        )


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
