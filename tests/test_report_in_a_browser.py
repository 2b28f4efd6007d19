"""The page in a real browser: seen, read by pointer and by keys, in both colours, narrow and wide, and without a network."""

from __future__ import annotations

import browser
import pandas as pd
import pytest

from fastgpu import Learner

pytestmark = pytest.mark.skipif(browser.executable() is None, reason="no chromium is installed")

LONG = "a_class_whose_name_is_longer_than_any_column_has_room_for_"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a run on a table with long names, beside pictures of wide rows."""
    out = tmp_path_factory.mktemp("runs")
    rows = pd.DataFrame({"a": range(120), "b": [1.5, 2.5, 0.5, 4.0] * 30, "kind": [f"{LONG}{i % 4}" for i in range(120)]})
    learn = Learner("mlp", rows, target="kind", out=out, verbose=False, metrics=["accuracy", "f1"])
    learn.fit(6)
    return learn.run_dir / "report.html", learn.history


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    with browser.browser(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


def opened(tab, page, width=1280, scheme="light"):
    tab.look(width, scheme=scheme)
    tab.open(page[0].as_uri())
    return tab


CURVES = """[...document.querySelectorAll('.chart')].map(chart => ({
    title: chart.querySelector('h3').textContent,
    box: (({width, height}) => [width, height])(chart.querySelector('.plot').getBoundingClientRect()),
    lines: [...chart.querySelectorAll('.curve')].map(path => ({
        data: path.getAttribute('d'), length: path.getTotalLength(), colour: getComputedStyle(path).stroke,
        box: (({width, height}) => [width, height])(path.getBoundingClientRect())}))}))"""


def test_curves_are_seen_and_nothing_is_asked_of_the_network(tab, page):
    opened(tab, page)
    assert tab.complaints == []
    assert [url for url in tab.requests if not url.startswith("data:")] == [page[0].as_uri()]
    charts = {chart["title"]: chart for chart in tab.run(CURVES)}
    assert set(charts) == {"loss", "accuracy", "f1", "learning rate", "seconds an epoch", "calibration"}
    loss = charts["loss"]
    assert len(loss["lines"]) == 2
    assert len({line["colour"] for line in loss["lines"]}) == 2
    for line in loss["lines"]:
        assert line["data"].count("L") == 5  # six epochs
        assert line["box"][0] > 0.9 * loss["box"][0] > 200
        assert line["box"][1] > 10
    inside = tab.run(
        "[...document.querySelectorAll('.curve')].every(path => { const a = path.getBoundingClientRect(),"
        " b = path.closest('.plot').getBoundingClientRect();"
        " return a.left >= b.left - 4 && a.right <= b.right + 4 && a.top >= b.top - 4 && a.bottom <= b.bottom + 4 })"
    )
    assert inside
    assert tab.run("[...document.images].length") == 3
    assert tab.run("[...document.images].every(image => image.complete && image.naturalWidth > 100)")


def test_values_are_read_by_pointer_and_by_keys(tab, page):
    opened(tab, page)
    box = tab.run("(({x, y, width, height}) => [x, y, width, height])(document.querySelector('.plot').getBoundingClientRect())")
    tip = "(tip => tip.hidden ? null : tip.innerText)(document.querySelector('.chart .tip'))"
    assert tab.run(tip) is None
    for epoch in (1, 3, 6):
        tab.move(box[0] + box[2] * (epoch - 1) / 5 + (1 if epoch < 6 else -1), box[1] + box[3] / 2)
        shown = tab.run(tip).split()
        assert shown[:2] == ["epoch", str(epoch)]
        values = dict(zip(shown[2::2], shown[3::2]))
        assert float(values["training"]) == pytest.approx(page[1]["loss"][epoch - 1], rel=1e-3)
        assert float(values["validation"]) == pytest.approx(page[1]["val_loss"][epoch - 1], rel=1e-3)
    tab.move(2, 2)
    assert tab.run(tip) is None
    tab.key("Tab")
    tab.run("document.querySelector('.plot').focus({focusVisible: true})")
    tab.key("ArrowLeft")
    assert tab.run(tip).split()[:2] == ["epoch", "5"]


def test_light_and_dark_differ_and_both_can_be_read(tab, page):
    def colours(scheme):
        opened(tab, page, scheme=scheme)
        return tab.run(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,"
            " getComputedStyle(document.querySelector('.curve.line1')).stroke]"
        )

    light, dark = colours("light"), colours("dark")
    assert all(a != b for a, b in zip(light, dark))
    for paper, ink, curve in (light, dark):
        assert contrast(paper, ink) > 7
        assert contrast(paper, curve) > 3


def contrast(one, other):
    """The ratio of WCAG 2: 1 to 21."""

    def luminance(colour):
        shares = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dim = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out_at_the_side(tab, page, width):
    opened(tab, page, width=width)
    tab.run("document.querySelectorAll('details').forEach(each => { each.open = true })")
    assert tab.run("document.documentElement.scrollWidth") <= width
    # What is wider than its card scrolls within it; a tip stays within the window.
    sticking = tab.run(
        "[...document.querySelectorAll('body *')].filter(each => each.getBoundingClientRect().right > innerWidth + 1"
        " && !each.closest('.scroll, pre')).map(each => each.outerHTML.slice(0, 80))"
    )
    assert sticking == []
    for left in (0.02, 0.98):
        box = tab.run("(({x, y, width, height}) => [x, y, width, height])(document.querySelector('.plot').getBoundingClientRect())")
        tab.move(box[0] + box[2] * left, box[1] + 20)
        edges = tab.run("(({left, right}) => [left, right])(document.querySelector('.tip').getBoundingClientRect())")
        assert edges[0] >= 0
        assert edges[1] <= width
