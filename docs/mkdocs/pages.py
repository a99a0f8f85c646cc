"""The pages that are no files in docs/, so that nothing is written twice.

Some are files of the repository that stand elsewhere; the others are made from the code: a page
for each strategy that ships, and the help texts of the command line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

from click.testing import CliRunner
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from fusionlab.cli import main
from fusionlab.parameters import Param, params_of
from fusionlab.plugins.host import installed
from fusionlab.strategy import Law, Strategy, WeightedStrategy

ROOT = Path(__file__).parents[2]
ELSEWHERE = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "strategies/index.md": "strategies/README.md",
}
SHIPPED_BY = "fusionlab-imaging"
"""Strategies of other plugins that happen to be installed are not ours to document."""
DOCSTRING_AND_SOURCE = (
    "{show_root_heading: false, show_root_toc_entry: false, members: false, show_bases: false, "
    "separate_signature: false, show_source: true}"
)


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages, and name them in the navigation."""
    for page, source in ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    files.append(File.generated(config, "command-line.md", content=command_line()))
    for registration in installed().strategies.registrations:
        if registration.plugin == SHIPPED_BY:
            cls = registration.ref.load()
            uri, content = (
                f"strategies/{registration.ref.name}.md",
                strategy(registration.ref.name, cls),
            )
            file = File.generated(config, uri, content=content)
            file.abs_src_path = sys.modules[cls.__module__].__file__  # what links to it name
            files.append(file)
    _unfold(config.nav or [], files)


def command_line() -> str:
    """Return what `--help` says, of the command and of every sub-command."""
    parts = ["# The command line", "What `--help` prints. The options of a strategy come with it."]
    for name in ("", *main.commands):
        words = ["fusionlab", *name.split()]
        asked = [*words[1:], "--help"]
        shown = CliRunner().invoke(main, asked, prog_name="fusionlab", catch_exceptions=False)
        parts += [f"## {' '.join(words)}", f"```text\n{shown.output.strip()}\n```"]
    return "\n\n".join(parts)


def strategy(name: str, cls: type[Strategy]) -> str:
    """Return the page of a strategy."""
    rule = cls()
    module = sys.modules[cls.__module__]
    weights = "every source a weight, which `--save-weights` shows"
    given = weights if isinstance(rule, WeightedStrategy) else "no weights"
    laws = [f"* {law.value} (`{law.name}`)" for law in Law if law in rule.laws]
    parts = [
        f"# {name}",
        *_formula(module.__doc__ or ""),
        "## About",
        f"::: {module.__name__}.{cls.__name__}\n    options: {DOCSTRING_AND_SOURCE}",
        "## Parameters",
        *_table(params_of(cls)),
        "## Support, weights, laws",
        f"With its defaults it looks {_sight(rule.support)}, and gives {given}.",
        "The laws it declares, which are tested:",
        "\n".join(laws) or "None.",
        "## On the command line",
        f"```sh\nfusionlab fuse --strategy {name} a.png b.png -o fused.png\n```",
    ]
    return "\n\n".join(parts)


def _formula(docstring: str) -> Iterator[str]:
    """Yield the paragraphs of a module's docstring, formulas as they are printed there."""
    for paragraph in dedent(docstring).strip().split("\n\n"):
        yield f"```text\n{paragraph}\n```" if " = " in paragraph else paragraph


def _table(params: tuple[Param, ...]) -> Iterator[str]:
    if not params:
        yield "None."
        return
    rows = [
        f"| `{param.name}` | {_values(param)} | {_default(param)} | {param.help} |"
        for param in params
    ]
    yield "\n".join(["| name | values | default | what |", "|---|---|---|---|", *rows])


def _values(param: Param) -> str:
    if param.choices:
        text = ", ".join(f"`{choice}`" for choice in param.choices)
    else:
        low = "" if param.gt is None else f"{param.gt:g} < "
        low = low if param.ge is None else f"{param.ge:g} ≤ "
        high = "" if param.lt is None else f" < {param.lt:g}"
        high = high if param.le is None else f" ≤ {param.le:g}"
        text = param.kind.__name__ + (f", {low}{param.name}{high}" if low or high else "")
    many = " (several, separated by commas)" if param.many else ""
    return text + many + (" or `none`" if param.optional else "")


def _default(param: Param) -> str:
    text = param.format(param.default)
    return f"`{text}`" if text else "empty"


def _sight(support: int | None) -> str:
    if support is None:
        return "at the whole image"
    return f"{support} feature pixels away" if support else "at no feature pixel but its own"


def _unfold(nav: list[Any], files: Files) -> None:
    """Replace each entry that ends in `/` by the pages of that folder, its index first."""
    for entry in nav:
        for title, value in entry.items():
            if isinstance(value, list):
                _unfold(value, files)
            elif value.endswith("/"):
                pages = [f for f in files.documentation_pages() if f.src_uri.startswith(value)]
                pages.sort(key=lambda page: (page.name != "index", page.src_uri))
                entry[title] = [page.src_uri for page in pages]
