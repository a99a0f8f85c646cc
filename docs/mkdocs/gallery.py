"""Run the Python code of the pages in docs/gallery/ while the site is built.

All blocks of a page run in one namespace, in a folder of their own with a link to `examples/`. What
a block prints follows it as a block of text. An image that the code writes becomes a file of the
site next to the page, so that the page can show it. A block that raises fails the build.
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
FOLDER = "gallery/"
BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n", re.MULTILINE | re.DOTALL)
IMAGES = {".png"}

_pages: dict[str, tuple[str, dict[str, bytes]]] = {}
"""Text of a page -> the page with its outputs, and its images; `mkdocs serve` builds often."""


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Run the pages, and add the images that they make."""
    for page in list(files.documentation_pages()):
        if page.src_uri.startswith(FOLDER):
            text = page.content_string
            if text not in _pages:
                _pages[text] = run_page(text)
            for name, content in _pages[text][1].items():
                files.append(File.generated(config, FOLDER + name, content=content))


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Return a page of the gallery with the outputs of its code."""
    if not page.file.src_uri.startswith(FOLDER):
        return markdown
    return _pages[page.file.content_string][0]


def run_page(text: str) -> tuple[str, dict[str, bytes]]:
    """Run the code of a page.

    Args:
        text: the page, in Markdown.

    Returns:
        The page with what its blocks printed, and the images that they wrote: name -> content.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}

    def run(block: re.Match[str]) -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block["code"], "<gallery>", "exec"), namespace)  # noqa: S102
        output = printed.getvalue().rstrip()
        return f"{block[0]}\n```text\n{output}\n```\n" if output else block[0]

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("examples").symlink_to(ROOT / "examples")
        shown = BLOCK.sub(run, text)
        images = {p.name: p.read_bytes() for p in sorted(Path().iterdir()) if p.suffix in IMAGES}
    return shown, images
