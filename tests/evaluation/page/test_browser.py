"""The page in a browser: what people do with it, opened from the disk."""

import io

import imageio.v3 as iio
import numpy as np
import pytest
from made_up_study import MadeUpMethod, made_up_report, made_up_study, made_with, small_report

from fusionlab.evaluation.page.write import write_page

expect = pytest.importorskip("playwright.sync_api", reason="needs Playwright").expect


def column(page, number, table="#scores-0"):
    """Return the texts of a column, without details, of the rows that are shown."""
    cells = page.locator(f"{table} tbody tr:visible > :nth-child({number + 1})")
    return [text.split("\n")[0].strip() for text in cells.all_inner_texts()]


def head_button(page, name, table="#scores-0"):
    return page.locator(f"{table} thead").get_by_role("button", name=name)


def cards(page):
    page.locator("#samples-0").scroll_into_view_if_needed()
    page.locator(".card").first.wait_for()
    return page.locator(".card .card-name").all_inner_texts()


def open_sample(page, name="two"):
    cards(page)
    page.locator(".card", has_text=name).click()
    page.locator("#viewer .stage > *").wait_for()
    return page.locator("#viewer")


def pixels(locator):
    """Return what is seen of an element, `(H, W, 3)`."""
    return iio.imread(io.BytesIO(locator.screenshot()))[:, :, :3]


def transforms(page):
    return page.locator("#viewer .layer").evaluate_all("all => all.map(e => e.style.transform)")


def test_a_click_on_a_head_sorts_the_best_first_then_the_worst_then_as_before(
    small_page, open_page
):
    page = open_page(small_page)
    original = ["l1norm", "l1norm,r=2", "l1norm,r=4", "Theirs"]
    head = head_button(page, "EN ↑")
    assert column(page, 0) == original
    head.click()
    assert column(page, 0) == ["l1norm,r=4", "l1norm,r=2", "Theirs", "l1norm"]
    assert page.locator("#scores-0 [aria-sort]").get_attribute("aria-sort") == "descending"
    head.click()
    assert column(page, 0) == ["l1norm", "Theirs", "l1norm,r=2", "l1norm,r=4"]
    head.press("Enter")
    assert column(page, 0) == original
    head_button(page, "rank").press("Space")
    assert column(page, 0)[:3] == ["l1norm,r=2", "Theirs", "l1norm"]
    assert column(page, 0)[3] == "l1norm,r=4"  # it lacks a value, and has no rank


def test_columns_can_be_hidden_and_factors_shown(small_page, open_page):
    page = open_page(small_page)
    heads = page.locator("#scores-0 thead th:visible")
    assert heads.all_inner_texts() == ["method", "EN ↑", "Qabf ↑", "rank ↓"]
    page.get_by_text("Columns", exact=True).click()
    sheet = page.locator("[data-columns]")
    sheet.get_by_label("Qabf").uncheck()
    sheet.get_by_label("r", exact=True).check()
    assert heads.all_inner_texts() == ["method", "r", "EN ↑", "rank ↓"]
    assert column(page, 1)[:3] == ["1", "2", "4"]
    page.keyboard.press("Escape")
    assert not sheet.is_visible()


def test_rows_are_filtered_by_factor_and_by_name(small_page, open_page):
    page = open_page(small_page)
    page.get_by_text("Filter", exact=True).click()
    page.locator("[data-factor=r]").get_by_label("2", exact=True).uncheck()
    assert column(page, 0) == ["l1norm", "l1norm,r=4", "Theirs"]
    page.get_by_placeholder("name of a method").fill("R=")
    assert column(page, 0) == ["l1norm,r=4"]
    assert page.locator("[data-table] [data-status]").inner_text() == "1 of 4 methods"


def test_of_a_long_table_the_first_rows_are_shown_and_all_at_the_press_of_a_button(
    tmp_path, open_page, monkeypatch
):
    monkeypatch.setattr("fusionlab.evaluation.page.write.ROWS_SHOWN", 2)
    study = made_up_study(tmp_path, {"street": small_report()}, images=False)
    page = open_page(write_page(study, tmp_path / "page"))
    assert column(page, 0) == ["l1norm", "l1norm,r=2"]
    head_button(page, "EN ↑").click()
    assert column(page, 0) == ["l1norm,r=4", "l1norm,r=2"]
    page.get_by_placeholder("name of a method").fill("Theirs")
    assert column(page, 0) == ["Theirs"]
    assert not page.get_by_text("more rows").is_visible()
    page.get_by_placeholder("name of a method").fill("")
    page.get_by_role("button", name="Show 2 more rows").click()
    assert column(page, 0) == ["l1norm,r=4", "l1norm,r=2", "Theirs", "l1norm"]


def test_the_letters_of_a_selection_choose_in_it_and_not_the_view(small_page, open_page):
    page = open_page(small_page)
    viewer = open_sample(page)
    page.keyboard.press("w")
    select = page.get_by_label("First image", exact=True)
    select.select_option("l1norm")
    select.press("b")  # the second source
    expect(select).to_have_value("s2")
    select.press("s")
    assert viewer.get_by_role("slider").is_visible()


def test_below_a_mean_is_a_difference_or_a_deviation(small_page, open_page):
    page = open_page(small_page)
    cell = page.locator("#scores-0 tbody tr").nth(1).locator("td.metric").first
    assert cell.inner_text().split() == ["4.1667", "+1.6667"]
    page.get_by_label("Below the mean").select_option("deviation")
    assert cell.inner_text().split() == ["4.1667", "±2.3629"]
    page.get_by_label("Below the mean").select_option("none")
    assert cell.inner_text().split() == ["4.1667"]


def test_the_worst_samples_come_first_by_any_metric_of_any_method(small_page, open_page):
    page = open_page(small_page)
    assert cards(page) == ["two", "three", "one"]
    assert page.locator(".card").first.inner_text().split("\n")[1:] == ["Qabf 0.1000", "l1norm"]
    page.locator("[data-order=metric]").select_option("EN")
    page.locator(".card", has_text="EN 1.0000").wait_for()
    page.locator("[data-order=row]").select_option(label="l1norm,r=4")
    page.locator(".card", has_text="EN 4.0000").wait_for()
    assert cards(page) == ["one", "two", "three"]  # a sample without a value is last
    page.locator("[data-order=end]").select_option("best")
    page.locator("li:first-child", has_text="EN 7.0000").wait_for()
    assert cards(page) == ["two", "one", "three"]
    page.locator("[data-order=metric]").select_option("name")
    page.locator("li:first-child .card", has_text="one").wait_for()
    assert cards(page) == ["one", "two", "three"]


def test_the_worst_samples_may_be_those_that_are_farthest_behind_another_row(small_page, open_page):
    page = open_page(small_page)
    cards(page)
    page.locator("[data-order=metric]").select_option("EN")
    page.locator("[data-order=by]").select_option(label="difference from Theirs")
    page.locator(".card", has_text="EN -1.5000").first.wait_for()
    # 1.0 of 2.5 and 1.5 of 3.0; all others are ahead of Theirs on the sample `one`
    assert [card.split("\n")[1:] for card in page.locator(".card").all_inner_texts()] == [
        ["EN -1.5000", "l1norm - Theirs"],
        ["EN -1.5000", "l1norm,r=2 - Theirs"],
        ["EN +1.0000", "l1norm - Theirs"],
    ]
    images = page.locator(".card").first.locator("img")
    assert images.evaluate_all("all => all.map(e => e.alt)") == ["a", "b", "l1norm", "Theirs"]
    viewer = open_sample(page, "three")
    assert viewer.locator(".pane-title").all_inner_texts()[2:4] == ["l1norm,r=2", "Theirs"]
    page.keyboard.press("w")
    expect(page.get_by_label("First image", exact=True)).to_have_value("r3")
    expect(page.get_by_label("Second image")).to_have_value("r1")


def test_a_sample_shows_all_of_its_images_with_their_values(small_page, open_page):
    viewer = open_sample(open_page(small_page))
    assert viewer.locator(".pane-title").all_inner_texts() == [
        "a", "b", "l1norm", "l1norm,r=2", "l1norm,r=4", "Theirs",
    ]  # fmt: skip
    assert viewer.locator("figure.chosen .pane-title").inner_text() == "l1norm"
    values = viewer.locator("figure", has_text="l1norm,r=4").locator(".values")
    assert values.inner_text().split() == ["EN", "7.0000", "Qabf", "0.7000"]
    assert values.locator(".ordered").all_inner_texts() == ["Qabf 0.7000"]
    viewer.get_by_label("weight maps").check()
    maps = viewer.locator("figure", has_text="weights of")
    assert maps.locator("img").count() == 2
    assert np.abs(pixels(maps.last.locator(".pane"))[20, 20].astype(int) - 191).max() < 3  # WebP
    viewer.get_by_text("Values", exact=True).click()
    assert viewer.locator("tbody tr").count() == 4


def test_zoom_and_pan_are_those_of_all_images(small_page, open_page):
    page = open_page(small_page)
    viewer = open_sample(page)
    panes = viewer.locator(".pane")
    assert len(set(transforms(page))) == 1
    before = transforms(page)[0]
    for _ in range(3):
        page.keyboard.press("+")
    zoomed = transforms(page)
    assert len(set(zoomed)) == 1
    assert zoomed[0] != before
    assert page.locator(".layer.pixelated").count() == panes.count()
    box = panes.nth(2).bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 20, box["y"] + 30)
    page.mouse.up()
    panned = transforms(page)
    assert len(set(panned)) == 1
    assert panned[0] != zoomed[0]
    page.keyboard.press("Shift+ArrowRight")
    assert transforms(page)[0] not in (panned[0], zoomed[0])
    page.keyboard.press("0")
    assert set(transforms(page)) == {before}
    page.keyboard.press("1")
    assert viewer.locator("[data-scale]").inner_text() == "100 %"


def test_the_wheel_zooms_and_the_point_below_it_stays(small_page, open_page):
    page = open_page(small_page)
    viewer = open_sample(page)
    pane = viewer.locator(".pane").first
    box = pane.bounding_box()
    point = (box["width"] * 0.25, box["height"] * 0.6)
    place = """(layer, point) => {
        const matrix = new DOMMatrix(getComputedStyle(layer).transform);
        return [(point[0] - matrix.e) / matrix.a, (point[1] - matrix.f) / matrix.d];
    }"""
    before, scale = (
        pane.locator(".layer").evaluate(place, point),
        viewer.locator("[data-scale]").inner_text(),
    )
    page.mouse.move(box["x"] + point[0], box["y"] + point[1])
    page.keyboard.down("Control")
    page.mouse.wheel(0, -600)
    page.keyboard.up("Control")
    expect(viewer.locator("[data-scale]")).not_to_have_text(scale)
    after = pane.locator(".layer").evaluate(place, point)
    assert after == pytest.approx(before, abs=0.12)  # a pixel of the screen, to which events round
    assert len(set(transforms(page))) == 1


def test_the_wipe_shows_one_image_left_and_another_right_of_its_handle(small_page, open_page):
    page = open_page(small_page)
    viewer = open_sample(page)
    page.keyboard.press("w")
    page.get_by_label("First image", exact=True).select_option("a")
    page.get_by_label("Second image").select_option("l1norm,r=4")
    slider = viewer.get_by_role("slider")
    pane = viewer.locator(".pane")

    def levels():
        row = pixels(pane)
        row = row[row.shape[0] // 4, :, 0].astype(int)
        return {share: row[int(share * len(row))] for share in (0.3, 0.45, 0.6)}

    assert levels() == {0.3: 50, 0.45: 50, 0.6: 140}
    slider.press("Shift+ArrowLeft")
    assert slider.get_attribute("aria-valuenow") == "40"
    assert levels() == {0.3: 50, 0.45: 140, 0.6: 140}
    box, place = pane.bounding_box(), slider.bounding_box()
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], place["y"] + 20)
    page.mouse.up()
    assert slider.get_attribute("aria-valuenow") == "70"
    assert levels() == {0.3: 50, 0.45: 50, 0.6: 50}
    assert viewer.locator("h2").inner_text() == "two"  # the arrows moved the handle only


def test_the_difference_is_that_of_the_pixels_times_the_factor(small_page, open_page):
    page = open_page(small_page)
    viewer = open_sample(page)
    page.keyboard.press("d")
    page.get_by_label("First image", exact=True).select_option("l1norm")
    page.get_by_label("Second image").select_option("l1norm,r=2")
    for factor, expected in (("1", 20), ("4", 80), ("16", 255)):
        viewer.locator("[data-gain]").select_option(factor)
        canvas = viewer.locator("canvas[data-drawn]")
        canvas.wait_for()
        drawn = pixels(viewer.locator(".pane"))
        assert drawn[drawn.shape[0] // 2, drawn.shape[1] // 2].tolist() == [expected] * 3
    assert canvas.get_attribute("aria-label") == "difference of l1norm and l1norm,r=2, times 16"


def test_everything_can_be_done_with_the_keyboard(small_page, open_page):
    page = open_page(small_page)
    assert cards(page) == ["two", "three", "one"]
    page.locator(".card").first.focus()
    page.keyboard.press("Enter")
    title = page.locator("#viewer h2")
    page.locator("#viewer .stage > *").wait_for()
    assert title.inner_text() == "two"
    for key, name in (("ArrowRight", "three"), ("ArrowRight", "one"), ("ArrowRight", "one")):
        page.keyboard.press(key)
        expect(title).to_have_text(name)
    page.keyboard.press("ArrowLeft")
    expect(title).to_have_text("three")
    page.keyboard.press("v")
    page.locator("#viewer tbody tr").first.wait_for()
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()
    assert page.evaluate("document.activeElement.className") == "card"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_each_figure_leads_to_how_it_was_made(small_page, open_page):
    page = open_page(small_page)
    page.locator("#scores-0").get_by_role("link", name="l1norm,r=4").click()
    made = page.locator("details.made[open]")
    assert "r = 4" in made.inner_text()
    assert not page.locator("#set-0").is_visible()
    assert "fusionlab study run windows.toml" in page.locator("#made").inner_text()
    page.go_back()
    assert page.locator("#scores-0").is_visible()


def test_the_address_of_a_part_leads_to_its_top_and_that_of_a_heading_to_the_heading(
    small_page, open_page
):
    page = open_page(small_page)
    page.goto(f"{small_page.as_uri()}#set-0")
    page.reload()
    assert page.locator(".tabs").bounding_box()["y"] > 0
    page.locator(".jump").get_by_text("Samples").click()
    page.wait_for_function("document.querySelector('#samples-0').getBoundingClientRect().y < 700")
    assert page.locator(".tabs").bounding_box()["y"] < 0


def test_images_have_alternative_texts_and_controls_have_names(small_page, open_page):
    page = open_page(small_page)
    open_sample(page)
    images = page.locator("img")
    assert images.count() > 6
    assert all(images.evaluate_all("all => all.map(e => e.alt.length > 0)"))
    unnamed = page.locator("button, select, input").evaluate_all(
        "all => all.filter(e => !(e.labels?.length || e.ariaLabel || e.textContent.trim()))"
        ".map(e => e.outerHTML)"
    )
    assert unnamed == []


def test_the_page_is_light_or_dark_as_the_system_says_or_the_button(small_page, open_page):
    page = open_page(small_page, color_scheme="dark")
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(20, 23, 27)"
    page.locator("#theme").click()
    assert page.evaluate(background) == "rgb(252, 252, 251)"
    page.reload()
    assert page.evaluate(background) == "rgb(252, 252, 251)"


def test_on_a_narrow_screen_only_tables_scroll_sideways_and_on_paper_are_no_controls(
    small_page, open_page
):
    page = open_page(small_page, viewport={"width": 390, "height": 844})
    for part in ("Overview", "How it was made", "street"):
        page.locator(".tabs").get_by_text(part).click()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
    viewer = open_sample(page)
    for view in ("Side by side", "Wipe", "Difference", "Values"):
        viewer.locator(".modes").get_by_text(view).click()
        inside = viewer.locator(".bar-of-viewer :is(button, select):visible")
        boxes = [control.bounding_box() for control in inside.all()]
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
    viewer.get_by_label("Close").click()
    page.emulate_media(media="print")
    assert page.locator("#scores-0").is_visible()
    assert not page.locator("[data-table]").is_visible()


HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "\"quote'",
    "</script><script>alert(2)</script>",
    "../x,r=1#2%41",
    "ü 漢字 \u2028 %2F & ${1} {{ 7 }}",
)


@pytest.mark.parametrize("single_file", [False, True])
def test_names_are_shown_as_they_are_whatever_they_hold(single_file, tmp_path, open_page):
    samples = [name.replace("/", "-") for name in HOSTILE]  # no name of a file holds a slash
    methods = [
        MadeUpMethod(name, made_with(name, **{name: number})) for number, name in enumerate(HOSTILE)
    ]
    values = np.arange(5 * 5 * 2).reshape(5, 5, 2)
    reports = {
        HOSTILE[0]: made_up_report(
            methods, samples, values, summary=HOSTILE[2], against=HOSTILE[3]
        ),
        HOSTILE[2]: made_up_report(
            methods, samples, values, left_out={HOSTILE[0]: HOSTILE[2]}, summary=HOSTILE[0]
        ),
    }
    facts = {HOSTILE[0]: HOSTILE[2]}
    study = made_up_study(tmp_path, reports, name=HOSTILE[2], facts=facts)
    index = write_page(study, tmp_path / "page #1 = 100% ü", single_file=single_file)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "out", "page #1 = 100% ü", "sources0", "sources1",
    ]  # fmt: skip
    if single_file:
        index = index.rename(tmp_path / "alone.html")
    page = open_page(index)
    assert page.title() == HOSTILE[2]
    best_first = list(reversed(HOSTILE))
    assert page.locator("#overview-table tbody th").all_text_contents() == best_first
    page.locator(".tabs a").nth(1).click()
    assert page.locator("#set-0 h2").inner_text() == HOSTILE[0]
    cards(page)
    assert set(page.locator(".card-name").all_text_contents()) == set(samples)
    page.locator(".card", has_text=samples[2]).click()
    page.locator("#viewer .layer").first.wait_for()
    assert page.locator("#viewer h2").text_content() == samples[2]
    titles = page.locator("#viewer .pane-title").all_text_contents()
    assert titles == ["a", "b", *HOSTILE]
    loaded = "all => Promise.all(all.map(e => e.decode().then(() => e.naturalWidth)))"
    assert page.locator("#viewer .layer").evaluate_all(loaded) == [40] * 7
    page.keyboard.press("Escape")
    page.get_by_text("How it was made", exact=True).click()
    assert page.locator("script, img[src=x]").count() == page.evaluate(
        "document.querySelectorAll('script:not([src]), head script[src^=\"data/\"]').length"
    )


def test_values_are_loaded_when_they_are_needed(tmp_path, open_page):
    samples = [f"s{number:04}" for number in range(200)]
    values = np.random.default_rng(0).random((3, 200, 2))
    report = made_up_report(["a", "b", "c"], samples, values)
    study = made_up_study(tmp_path, {"many": report}, images=False)
    page = open_page(write_page(study, tmp_path / "page"))
    loaded = "[...document.querySelectorAll('head script')].map(e => e.src.split('/').pop())"
    assert len(cards(page)) == 48
    assert page.evaluate(loaded) == ["samples-0.js", "values-0-1.js"]
    page.get_by_text("Show more samples").click()
    assert len(cards(page)) == 96
    worst = np.argsort(values[:, :, 1].min(axis=0))[:3]
    assert cards(page)[:3] == [samples[number] for number in worst]
    page.locator(".card").nth(60).click()  # without images: a table of its values
    page.locator("#viewer tbody tr").first.wait_for()
    assert page.evaluate(loaded)[2:] == ["values-0-0.js"]
