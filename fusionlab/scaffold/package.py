"""Write the package of a new strategy, all of it or nothing."""

from __future__ import annotations

import ast
import json
import re
from importlib.resources import files
from pathlib import Path

from fusionlab.errors import FusionlabError
from fusionlab.plugins.registry import Plugins
from fusionlab.scaffold.names import Names, check_free
from fusionlab.storage.atomic import atomic_write_folder

_TEMPLATE = Names("my_rule")
"""What the template calls itself."""

_FILES = (
    "README.md",
    "pyproject.toml",
    ".gitignore",
    "fusionlab_my_rule.py",
    "tests/test_my_rule.py",
)
_AUTHOR = 'authors = [{ name = "AUTHOR" }]\n'


def write_package(names: Names, parent: Path, plugins: Plugins, author: str | None = None) -> Path:
    """Write the package of a new strategy into a new folder within `parent`, and return that.

    Raises:
        FusionlabError: a name is taken, the folder is there already, or it cannot be written.
    """
    check_free(names, plugins)
    template = files(__package__) / _TEMPLATE.distribution
    texts = {name: (template / name).read_text(encoding="utf-8") for name in _FILES}
    _check_class(names, [text for name, text in texts.items() if name.endswith(".py")])
    written = {
        _renamed(name, names, names.identifier): _renamed(text, names, names.strategy)
        for name, text in texts.items()
    }
    written["pyproject.toml"] = written["pyproject.toml"].replace(_AUTHOR, _authors(author))
    folder = parent / names.distribution
    atomic_write_folder(folder, written)
    return folder


def _renamed(text: str, names: Names, own: str) -> str:
    """Put other words for those of the template; `own` for the name of the strategy itself."""
    words = {
        _TEMPLATE.distribution: names.distribution,
        _TEMPLATE.module: names.module,
        _TEMPLATE.cls: names.cls,
        _TEMPLATE.strategy: own,
    }
    return re.sub("|".join(words), lambda found: words[found[0]], text)


def _check_class(names: Names, codes: list[str]) -> None:
    """The class must not hide what its module, or its test, imports."""
    for node in (node for code in codes for node in ast.walk(ast.parse(code))):
        if not isinstance(node, ast.ImportFrom) or node.module == _TEMPLATE.module:
            continue
        if names.cls in {imported.name for imported in node.names}:
            raise FusionlabError(
                f"the class would be called {names.cls}, as the one that it imports from "
                f"{node.module}; choose another name"
            )


def _authors(author: str | None) -> str:
    if author is None:
        return ""
    if not (author.strip() and author.isprintable()):
        raise FusionlabError(f"the name of an author is a line of text, got {author!r}")
    return _AUTHOR.replace('"AUTHOR"', json.dumps(author, ensure_ascii=False))
