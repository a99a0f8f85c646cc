"""A browser for the tests of the page, started once, and a small study."""

import shutil

import numpy as np
import pytest
from made_up_study import made_up_study, small_report

from fusionlab.evaluation.page.write import write_page


@pytest.fixture(scope="session")
def small_page(made_once):
    """Return the page of a small study with images and weight maps."""

    def fill(folder):
        study = made_up_study(
            folder,
            {"street": small_report(against="Theirs")},
            name="Windows",
            facts={"command": "fusionlab study run windows.toml"},
        )

        def weight_maps(_, label, sample):
            height_and_width = (30, 40)
            return [np.full(height_and_width, w) for w in (0.25, 0.75)] if "r=2" in label else []

        write_page(study, folder / "page", weight_maps=weight_maps)

    return made_once("small-page", fill) / "page" / "index.html"


@pytest.fixture(scope="session")
def browser():
    """Return headless Chromium; skip where it or Playwright is not installed."""
    playwright_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def shared_page(browser):
    """Return a page that tests use one after another: to make one takes as long as to load it."""
    return browser.new_page(viewport={"width": 1100, "height": 800})


@pytest.fixture
def open_page(browser, shared_page):
    """Return a function that opens a page; at the end nothing may have gone wrong in it."""
    errors, requests, opened = [], [], []
    listeners = {
        "console": lambda message: errors.append(f"{message.type}: {message.text}"),
        "pageerror": lambda error: errors.append(str(error)),
        "dialog": lambda dialog: (errors.append(dialog.message), dialog.dismiss()),
        "requestfailed": lambda request: errors.append(f"failed: {request.url}"),
        "request": lambda request: requests.append(request.url),
    }

    def open_file(path, **options):
        page = browser.new_page(**options) if options else shared_page
        opened.append(page)
        page.set_default_timeout(10_000)
        for event, listener in listeners.items():
            page.on(event, listener)
        page.goto(path.as_uri())
        return page

    yield open_file
    for page in opened:
        if page is not shared_page:
            page.close()
            continue
        for event, listener in listeners.items():
            page.remove_listener(event, listener)
        page.goto("about:blank")
    assert not errors
    assert all(url.startswith(("file:", "data:")) for url in requests), requests
