"""Numbers in the physicist's notation; the page is whole, self-contained and safe with any name."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest

from ebmphys.compare import compare
from ebmphys.report import format_estimate, render, write_report

VOID = {"meta", "img", "br", "link", "input", "hr"}
EVIL = "<script>alert('x')</script>"


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (-1.45312, 0.00123, "-1.4531(12)"),
        (12.34, 4.5, "12.3(4.5)"),
        (1234.4, 123.0, "1230(120)"),
        (1234.4, 12.0, "1234(12)"),
        (100.2, 9.96, "100(10)"),
        (1.0, 0.0996, "1.00(10)"),
        (1.0, 0.996, "1.0(1.0)"),
        (0.5, 0.00995, "0.500(10)"),
        (0.5, 0.00994, "0.5000(99)"),
        (0.03, 0.11, "0.03(11)"),
        (0.0, 0.011, "0.000(11)"),
        (-0.0001, 0.011, "0.000(11)"),
        (0.001, 5.0, "0.0(5.0)"),
        (-1.5, 0.0, "-1.5"),
        (-1.5, None, "-1.5"),
        (-1.5, float("nan"), "-1.5"),
        (None, 0.1, "–"),
        (float("nan"), 0.1, "–"),
        (float("inf"), 0.1, "–"),
        (1.234e-7, 5.6e-9, "1.234(56)×10⁻⁷"),
        (1.234e8, 5.6e6, "1.234(56)×10⁸"),
        (2.0, 1e-12, "2.0000000000000(10)"),
    ],
)
def test_format_estimate(value, error, text):
    assert format_estimate(value, error) == text


class Page(HTMLParser):
    """Collects tags and refuses those that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


def parsed(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    return page


@pytest.fixture(scope="module")
def comparison(draw):
    temperatures = (1.5, 2.0, 2.269185314213022, 3.0)
    reference = [draw("mc", k, temperature=t, shape=(40, 40)) for k, t in enumerate(temperatures)]
    rbm = [draw("rbm", 10 + k, temperature=t, shape=(40, 40)) for k, t in enumerate(temperatures)]
    vae = [draw(EVIL, 20 + k, temperature=t, factor=0.8, shape=(40, 40)) for k, t in enumerate(temperatures[1:])]
    kl = {"rbm": dict.fromkeys(temperatures, 0.01), EVIL: dict.fromkeys(temperatures, f"<img src={EVIL}>")}
    return compare(reference, rbm + vae, exact_kl=kl, provenance={"seed": 17, "note": EVIL})


@pytest.fixture(scope="module")
def paths(comparison, tmp_path_factory):
    history = [{"epoch": k, "loss": 1.0 / (k + 1), "learning_rate": 0.1} for k in range(5)]
    return write_report(comparison, tmp_path_factory.mktemp("out") / "new" / "place", {EVIL: history})


@pytest.fixture(scope="module")
def page(paths):
    return paths[0].read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_says_what_the_table_says(page, comparison):
    found = parsed(page)
    assert comparison.headline in found.words
    for verdict in comparison.verdicts:
        assert verdict.sentence in found.words
    energy = next(r for r in comparison.rows if (r.sample, r.observable) == ("rbm", "energy_per_site"))
    assert format_estimate(energy.value, energy.error).replace("-", "−") in found.words
    for row in comparison.rows:
        assert all(words in found.words for words in row.warning.split("; "))
    assert '"seed": 17' in found.words
    for words in ("Binder cumulant", "Jensen-Shannon", "Provenance", "floor"):
        assert words in found.words


def test_the_page_needs_nothing_else(page):
    for tag, attributes in parsed(page).tags:
        assert tag not in ("link", "script", "iframe", "object", "base")
        for name in ("src", "href", "srcset", "data", "action"):
            target = attributes.get(name) or "#"
            assert target.startswith(("#", "data:image/png;base64,")), (tag, target[:60])
    assert not re.search(r"url\(|@import|https?://|file:", page)


def test_every_anchor_leads_somewhere(page):
    tags = parsed(page).tags
    places = {attributes["id"] for _, attributes in tags if "id" in attributes}
    assert {a["href"][1:] for tag, a in tags if tag == "a"} <= places


def test_pictures_are_whole_and_described(page):
    pictures = [a for tag, a in parsed(page).tags if tag == "img"]
    assert len(pictures) >= 7
    for picture in pictures:
        assert picture["alt"]
        data = base64.b64decode(picture["src"].split(",", 1)[1], validate=True)
        assert data.startswith(b"\x89PNG") and data.endswith(b"IEND\xaeB`\x82")


def test_names_are_escaped(page):
    assert EVIL not in page
    assert "<script" not in page.lower()
    assert "&lt;script&gt;" in page


def test_write_report_leaves_a_page_and_its_figures(paths):
    assert paths[0].name == "report.html"
    names = {p.stem for p in paths[1:]}
    assert names == {"pulls", "curves", "histograms", "correlations", "training-1"} | {
        f"snapshots-{k}" for k in (1, 2, 3)
    }
    assert all(p.stat().st_size > 1000 for p in paths)
    assert sorted(paths[0].parent.iterdir()) == sorted(paths)


def test_a_comparison_without_configurations_has_a_page_too(draw):
    bare = compare([draw("mc", 1, keep=False)], [draw("s", 2, keep=False), draw("t", 3, keep=False)])
    found = parsed(render(bare))
    assert bare.headline in found.words
    assert not any("snapshots" in str(a.get("href")) for _, a in found.tags)
