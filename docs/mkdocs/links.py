"""Links between files of the repository, as they have to be in the site.

In a checkout a page links to any file by its path. Here such a link leads to the page that was
made of the file; where there is none, to the file in the repository if `repo_url` in mkdocs.yml
says where that is; otherwise it becomes the path of the file. A link to a file that is not there
stays as it is, and fails the strict build.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
LINK = re.compile(
    r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)"
)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the text of a page with its links changed."""
    if page.file.abs_src_path is None:
        return markdown
    here = Path(page.file.abs_src_path).parent
    made_of = {Path(file.abs_src_path): file.src_uri for file in files if file.abs_src_path}

    def changed(link: re.Match[str]) -> str:
        path = (here / link["target"]).resolve()
        if uri := made_of.get(path) or made_of.get(path / "README.md"):
            target = posixpath.relpath(uri, posixpath.dirname(page.file.src_uri))
            return f"{link['image']}[{link['text']}]({target}{link['anchor'] or ''})"
        if not (path.exists() and path.is_relative_to(ROOT)):
            return link[0]
        name = path.relative_to(ROOT).as_posix()
        if config.repo_url:
            return f"[{link['text']}]({config.repo_url.rstrip('/')}/blob/HEAD/{name})"
        shown = f"`{name}/`" if path.is_dir() else f"`{name}`"
        return shown if name.endswith(link["text"].strip("`/")) else f"{link['text']} ({shown})"

    return LINK.sub(changed, markdown)
