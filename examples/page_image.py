"""Make the image of docs/page.md: the table of a study and one of its samples, in a browser.

It needs playwright, and chromium or chromium-browser.
"""

import shutil
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
OUTPUT = HERE.parent / "docs" / "images" / "page.png"
SIZE = {"width": 1000, "height": 560}


def screenshots(page: Page) -> list[bytes]:
    """Return what the page shows at first, sorted, and the worst sample with a wipe."""
    page.get_by_role("button", name="Qabf ↑").first.click()
    page.mouse.move(0, 0)
    table = page.screenshot()
    page.locator(".samples").scroll_into_view_if_needed()
    page.locator(".card").first.click()
    page.keyboard.press("w")
    page.locator(".handle").wait_for()
    for image in page.locator("#viewer .layer").all():
        image.evaluate("image => image.decode()")
    return [table, page.screenshot()]


def main() -> None:
    """Run the study, write its page, and put two views of it into one image."""
    study = HERE / "page.toml"
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        for command in ("run", "report"):
            program = [sys.executable, "-m", "fusionlab", "study", command]
            subprocess.run([*program, study, "-o", folder], check=True)  # noqa: S603  # ours
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=chromium)
        page = browser.new_page(viewport=SIZE)
        page.goto((Path(folder) / "report" / "index.html").as_uri())
        views = [Image.open(BytesIO(view)).convert("RGB") for view in screenshots(page)]
        browser.close()
    image = Image.new("RGB", (SIZE["width"], 2 * SIZE["height"] + 2), "#d8dbe0")
    for number, view in enumerate(views):
        image.paste(view, (0, number * (SIZE["height"] + 2)))
    image.quantize(128).save(OUTPUT, optimize=True)
    print(OUTPUT)


if __name__ == "__main__":
    main()
