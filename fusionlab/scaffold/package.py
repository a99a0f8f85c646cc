"""Write the package of a new strategy, atomically."""

from __future__ import annotations

import ast
import json
import re
from importlib.resources import files
from pathlib import Path

from fusionlab.errors import FusionlabError
from fusionlab.plugins.registry import Plugins
from fusionlab.scaffold.names import Names, check_available
from fusionlab.storage.atomic import atomic_write_folder

_TEMPLATE = Names("my_strategy")
"""The names in the template."""

_FILES = (
    "README.md",
    "pyproject.toml",
    ".gitignore",
    "fusionlab_my_strategy.py",
    "tests/test_my_strategy.py",
)
_AUTHOR = 'authors = [{ name = "AUTHOR" }]\n'


def write_package(names: Names, parent: Path, plugins: Plugins, author: str | None = None) -> Path:
    """Write the package of a new strategy into a new folder within `parent`, and return that.

    Raises:
        FusionlabError: a name is taken, the folder already exists, or it cannot be written.
    """
    check_available(names, plugins)
    template = files(__package__) / _TEMPLATE.distribution
    texts = {name: (template / name).read_text(encoding="utf-8") for name in _FILES}
    _check_class_name(names, [text for name, text in texts.items() if name.endswith(".py")])
    contents = {
        _renamed(name, names, names.identifier): _renamed(text, names, names.strategy)
        for name, text in texts.items()
    }
    contents["pyproject.toml"] = contents["pyproject.toml"].replace(_AUTHOR, _authors(author))
    folder = parent / names.distribution
    atomic_write_folder(folder, contents)
    return folder


def _renamed(text: str, names: Names, strategy: str) -> str:
    """Replace the names of the template; `strategy` replaces that of the strategy."""
    replacements = {
        _TEMPLATE.distribution: names.distribution,
        _TEMPLATE.module: names.module,
        _TEMPLATE.class_name: names.class_name,
        _TEMPLATE.strategy: strategy,
    }
    return re.sub("|".join(replacements), lambda match: replacements[match[0]], text)


def _check_class_name(names: Names, sources: list[str]) -> None:
    """Refuse a class name that hides an import of its module or of its test."""
    for node in (node for source in sources for node in ast.walk(ast.parse(source))):
        if not isinstance(node, ast.ImportFrom) or node.module == _TEMPLATE.module:
            continue
        if names.class_name in {alias.name for alias in node.names}:
            raise FusionlabError(
                f"the class would be called {names.class_name}, like the one that it imports from "
                f"{node.module}; choose another name",
                code="name-taken",
            )


def _authors(author: str | None) -> str:
    if author is None:
        return ""
    if not (author.strip() and author.isprintable()):
        raise FusionlabError(
            f"the name of the author must be one line of text, got {author!r}",
            code="invalid-author",
            option="author",
        )
    return _AUTHOR.replace('"AUTHOR"', json.dumps(author, ensure_ascii=False))
