"""The site of the documentation: it builds without a warning, and has a place for everything."""

import importlib.util
import inspect
import re
import subprocess
from dataclasses import is_dataclass
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import imageio.v3 as iio
import pytest

import fusionlab
from fusionlab import hookspecs
from fusionlab.cli import main
from fusionlab.parameters import params_of
from fusionlab.plugins import offers, presets, tasks
from fusionlab.plugins.host import installed

ROOT = Path(__file__).parents[1]
REMOTE = re.compile(
    r"""(?:<(?:script|img|iframe)[^>]*\ssrc|<link[^>]*\shref)=["']?(?:https?:)?//"""
)


class Page(HTMLParser):
    """What a page of the site holds: text, headings, blocks of code, places, links."""

    def __init__(self, path):
        super().__init__()
        self.html = path.read_text(encoding="utf-8")
        self.text, self.headings, self.blocks, self.places, self.links = "", [], [], set(), []
        self._inside = []  # which of these are being read
        self.feed(self.html)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.places.add(found.get("id"))
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if re.fullmatch(r"h\d", tag):
            self._inside = self.headings
        elif tag == "pre":
            self._inside = self.blocks
        else:
            return
        self._inside.append("")

    def handle_endtag(self, tag):
        if re.fullmatch(r"h\d", tag):
            self.headings[-1] = " ".join(self.headings[-1].replace("¶", "").split())
        if re.fullmatch(r"h\d|pre", tag):
            self._inside = []

    def handle_data(self, data):
        self.text += data
        if self._inside:
            self._inside[-1] += data


@pytest.fixture(scope="module")
def site(made_once, python):
    """The pages of the site, built once: path -> page."""
    for name in ("mkdocs", "material", "mkdocstrings_handlers"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}: pip install -e '.[docs]'")

    def build(folder):
        command = [python, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
        built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stderr

    folder = made_once("site", build)
    return {
        path.relative_to(folder).as_posix(): Page(path)
        for path in folder.rglob("*.html")
        if path.name != "404.html"  # its links begin at the root of a server
    }


def load_hook(name):
    path = ROOT / "docs" / "mkdocs" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shipped():
    return [o for o in installed().strategies.registrations if o.plugin == "fusionlab-imaging"]


@pytest.mark.docs
def test_every_page_of_docs_is_in_the_site(site):
    for path in (ROOT / "docs").rglob("*.md"):
        page = path.relative_to(ROOT / "docs").with_suffix(".html").as_posix()
        assert page.replace("README.html", "index.html") in site


@pytest.mark.docs
def test_the_home_page_is_the_readme(site):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = [line for line in readme.splitlines() if line.startswith("python3 -m venv ")]
    assert len(commands) == 2
    assert all(command in site["index.html"].text for command in commands)
    assert "images/street.png" in site["index.html"].html


@pytest.mark.docs
def test_every_hook_has_a_heading_with_its_arguments(site):
    hooks = [f for f in vars(hookspecs).values() if hasattr(f, "fusionlab_spec")]
    assert hooks
    for hook in hooks:
        signature = str(inspect.signature(hook)).replace("'", "")  # annotations are strings
        assert f"{hook.__name__}{signature}" in site["hooks.html"].headings


@pytest.mark.docs
def test_everything_that_hooks_return_is_beside_them(site):
    described = [*vars(offers).values(), *vars(presets).values(), *vars(tasks).values()]
    classes = [c for c in described if isinstance(c, type) and is_dataclass(c)]
    returned = [c for c in classes if not c.__name__.startswith("_")]
    assert {fusionlab.StrategyRef, fusionlab.Preset, fusionlab.Task} <= set(returned)
    for cls in returned:
        assert f"{cls.__module__}.{cls.__name__}" in site["hooks.html"].places


@pytest.mark.docs
def test_every_public_name_has_its_place_in_the_api(site):
    page = site["api.html"]
    for name in fusionlab.__all__:
        home = getattr(getattr(fusionlab, name), "__module__", "")
        elsewhere = f"hooks.html#{home}.{name}"
        assert f"fusionlab.{name}" in page.places or elsewhere in page.links


@pytest.mark.docs
def test_every_command_has_a_section_with_its_options(site):
    page = site["command-line.html"]
    sections = page.text.split("Usage: fusionlab ")
    for name, command in main.commands.items():
        assert f"fusionlab {name}" in page.headings
        (section,) = [one for one in sections if one.startswith(f"{name} ")]
        for option in command.params:
            if option.param_type_name == "option":
                long = next(name for name in option.opts if name.startswith("--"))
                assert long in section  # other names are aliases


@pytest.mark.docs
@pytest.mark.parametrize("registration", shipped(), ids=lambda registration: registration.ref.name)
def test_every_strategy_has_a_page_with_all_it_says_about_itself(site, registration):
    page, cls = site[f"strategies/{registration.ref.name}.html"], registration.ref.load()
    assert registration.ref.name in page.headings
    assert registration.ref.summary in page.text
    for param in params_of(cls):
        assert param.help in page.text
    for law in fusionlab.Law:
        assert (f"({law.name})" in page.text) == (law in cls().laws)
    formulas = [p for p in inspect.getmodule(cls).__doc__.split("\n\n") if " = " in p]
    assert formulas
    assert {formula.strip() for formula in formulas} <= {block.strip() for block in page.blocks}


@pytest.mark.docs
def test_every_link_within_the_site_leads_somewhere(site):
    for name, page in site.items():
        for link in page.links:
            url = urlsplit(unescape(link))
            if url.scheme or not (url.path.endswith(".html") or not url.path):
                continue
            target = (Path("/", name).parent / unquote(url.path)).resolve() if url.path else name
            found = site.get(str(target).lstrip("/"))
            assert found, f"{name} links to {link}"
            assert not url.fragment or unquote(url.fragment) in found.places, f"{name}: {link}"


@pytest.mark.docs
def test_no_page_loads_anything_from_elsewhere(site):
    for name, page in site.items():
        assert not REMOTE.search(page.html), name


@pytest.mark.docs
@pytest.mark.parametrize(
    ("page", "printed", "images"),
    [
        ("strategies", "mean weights 0.33 0.33 0.33", ["sources", "fused", "weights"]),
        ("evaluation", "±0.", ["differences"]),
    ],
)
def test_the_gallery_shows_what_its_code_prints_and_draws(site, page, printed, images):
    shown = site[f"gallery/{page}.html"]
    assert all(f'src="{image}.png"' in shown.html for image in images)
    assert any(printed in block for block in shown.blocks)


def test_the_code_of_a_gallery_page_runs_in_one_namespace_and_its_outputs_follow():
    page = """Text.

```python
level = 3
```

```python
import imageio.v3 as iio
import numpy as np

iio.imwrite("flat.png", np.full((2, 2), level, np.uint8))
print("level", level)
```

![flat](flat.png)
"""
    shown, images = load_hook("gallery").run_page(page)
    assert shown == page.replace("level)\n```\n", "level)\n```\n\n```text\nlevel 3\n```\n")
    assert list(images) == ["flat.png"]
    assert (iio.imread(images["flat.png"]) == 3).all()


def test_code_of_a_gallery_page_that_fails_stops_the_build():
    with pytest.raises(ZeroDivisionError):
        load_hook("gallery").run_page("```python\n1 / 0\n```\n")


@pytest.mark.parametrize(
    ("page", "code"),
    [
        ("tutorial.md", "examples/own_strategy.py"),
        ("hooks.md", "plugins/fusionlab-guided/fusionlab_guided.py"),
    ],
)
def test_the_code_that_a_page_shows_is_that_of_the_file_it_names(page, code):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = [part.partition("```")[0] for part in text.split("```python\n")[1:]]
    assert blocks
    assert all(block in (ROOT / code).read_text(encoding="utf-8") for block in blocks)


@pytest.mark.parametrize(
    ("link", "repo_url", "expected"),
    [
        (
            "[the loop](../fusionlab/plugins/host.py)",
            None,
            "the loop (`fusionlab/plugins/host.py`)",
        ),
        ("[`host.py`](../fusionlab/plugins/host.py)", None, "`fusionlab/plugins/host.py`"),
        ("[logs](training)", None, "logs (`docs/training/`)"),
        ("[x](../LICENSE)", "https://e.org/r/", "[x](https://e.org/r/blob/HEAD/LICENSE)"),
        ("[start](../README.md#in-python)", None, "[start](index.md#in-python)"),
        ("[gone](../fusionlab/gone.py)", None, "[gone](../fusionlab/gone.py)"),
        ("[web](https://doi.org/10)", None, "[web](https://doi.org/10)"),
    ],
)
def test_a_link_out_of_the_docs_becomes_what_the_site_can_show(link, repo_url, expected):
    links = load_hook("links")
    here = SimpleNamespace(abs_src_path=str(ROOT / "docs" / "guide.md"), src_uri="guide.md")
    home = SimpleNamespace(abs_src_path=str(ROOT / "README.md"), src_uri="index.md")
    config = SimpleNamespace(repo_url=repo_url)
    page = SimpleNamespace(file=here)
    assert links.on_page_markdown(link, page=page, config=config, files=[here, home]) == expected
