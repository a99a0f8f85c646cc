"""The HTML of the page: templates, and the scripts and styles that become part of it.

Templates escape every text. A content security policy allows the scripts of the page by their
hashes and no others, and forbids every connection, so a name that holds markup could do nothing
even if it were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fusionlab.evaluation.page.values import script_json

GENERATOR = "fusionlab page"
"""By this a page of ours is recognized."""
STYLES = ("page.css", "table.css", "plots.css", "samples.css", "viewer.css")
SCRIPTS = (
    "data.js",
    "theme.js",
    "tabs.js",
    "menus.js",
    "table.js",
    "overview.js",
    "samples.js",
    "zoom.js",
    "wipe.js",
    "difference.js",
    "viewer.js",
)
"""In the order in which they run."""


def page_html(content: Mapping[str, Any], data: Any, chunks: Mapping[str, Any]) -> str:
    """Return the HTML of the page.

    Args:
        content: what the templates show.
        data: what the scripts need from the start.
        chunks: name -> what the scripts load on demand, if it is part of the page.
    """
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["json"] = lambda value: Markup(script_json(value))  # noqa: S704  # escaped
    environment.filters["attribute_json"] = script_json
    scripts = [_asset(name) for name in SCRIPTS]
    return environment.get_template("page.html").render(
        content,
        generator=GENERATOR,
        policy=_policy(scripts),
        style=Markup("\n").join(map(_asset, STYLES)),
        scripts=scripts,
        data=data,
        chunks=chunks,
    )


def _asset(name: str) -> Markup:
    """Return a script or a style of this package, as it is."""
    text = files(__package__).joinpath("static", name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704  # ours


def _policy(scripts: list[Markup]) -> str:
    """Return the content security policy of the page."""
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    hashes = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        "default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'; "
        f"script-src 'self' file: {hashes}; base-uri 'none'; form-action 'none'"
    )
