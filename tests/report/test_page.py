"""The page as text: complete in itself, well formed, its tables those of the terminal."""

from __future__ import annotations

import itertools
import json
import re
from html.parser import HTMLParser

import pytest
from reported import HOSTILE, put
from scripted import finishes, play, probed
from tiny import experiment

from normbench.api import compare
from normbench.charts.base import CHARTS
from normbench.report.answer import answer
from normbench.report.glossary import GLOSSARY, anchor, entry
from normbench.report.page import render
from normbench.report.scripts import library
from normbench.report.sections import sections
from normbench.report.setting import setting
from normbench.report.summary import summary

VOID = {"meta", "img", "br", "link", "input"}
MOST_BYTES = 3_000_000
QUANTITIES = vars(probed(0))["quantities"]


class Page(HTMLParser):
    """The elements of a page, in order, and whether each was closed where it should be."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.append((self.open[-1], data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


SORTS = ["tiny", "swept", "tuned", "several", "hostile"]


@pytest.mark.parametrize("sort", SORTS)
def test_headings_come_in_order_under_a_single_title(pages, sort):
    page = Page(pages[sort])
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


@pytest.mark.parametrize("sort", SORTS)
def test_every_link_leads_somewhere_on_the_page(pages, sort):
    page = Page(pages[sort])
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    targets = [a["href"] for a in page.all("a")]
    assert targets
    assert all(target[0] == "#" and target[1:] in ids for target in targets)


@pytest.mark.parametrize("sort", SORTS)
def test_the_page_loads_nothing_and_may_not(pages, sort):
    page = Page(pages[sort])
    sources = [v for _, a in page.elements for k, v in a.items() if k in ("src", "srcset", "data")]
    assert sources == []
    assert page.all("link") == []
    (policy,) = [a["content"] for a in page.all("meta") if "http-equiv" in a]
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("sort", SORTS)
def test_the_library_is_there_once(pages, sort):
    assert pages[sort].count(library()) == 1
    assert "</script" not in library()


@pytest.mark.parametrize("sort", SORTS)
def test_tables_have_captions_scopes_and_a_box_that_can_be_reached(pages, sort):
    page = Page(pages[sort])
    tables = len(page.all("table"))
    assert tables > 3
    assert len(page.all("caption")) == tables
    assert all(a.get("scope") in ("col", "row") for a in page.all("th"))
    boxes = [a for a in page.all("div") if a.get("class") == "scroll"]
    assert len(boxes) == tables
    assert all(a["tabindex"] == "0" and a["role"] == "region" and a["aria-label"] for a in boxes)


def test_the_page_has_the_terminals_tables_and_every_chart(made, pages):
    for name in ("tiny", "swept", "tuned"):
        page = Page(pages[name])
        captions = [text for tag, text in page.texts if tag == "caption"]
        for section in sections(made[name]):
            assert (section.title in captions) == bool(len(section.rows)), section.title
        drawn = {a["data-chart"] for a in page.all("figure")}
        wanted = {c for c in CHARTS if CHARTS[c].draw(made[name].frames) is not None}
        assert drawn == {f"e0-chart-{chart}" for chart in wanted}
        (specs,) = re.findall(r'id="specs">(.*?)</script>', pages[name], re.S)
        assert json.loads(specs).keys() == drawn


def test_a_cell_reads_as_in_the_terminal(made, pages):
    row = made["tiny"].convergence.iloc[0]
    assert f"<td>{row['reached']}/{row['runs']}</td>" in pages["tiny"]


def test_markup_in_a_name_is_only_text(pages):
    text = pages["hostile"]
    page = Page(text)
    assert HOSTILE not in text
    assert page.all("img") == []
    assert len(page.all("script")) == 3
    assert sum(HOSTILE in data for tag, data in page.texts if tag == "h1") == 1
    (specs,) = re.findall(r'id="specs">(.*?)</script>', text, re.S)
    assert HOSTILE in json.dumps(json.loads(specs), ensure_ascii=False).replace('\\"', '"')


def test_several_experiments_stand_side_by_side_with_what_differs(made, pages):
    page = Page(pages["several"])
    captions = [text for tag, text in page.texts if tag == "caption"]
    assert captions[0] == "tiny and swept: convergence"
    assert {"tiny", "swept"} <= {text for tag, text in page.texts if tag == "h2"}
    ids = {a["data-chart"] for a in page.all("figure")}
    assert {"e0-chart-curves", "e1-chart-curves"} <= ids


def test_keys_that_differ_are_listed(made, tmp_path, digits):
    other = put(tmp_path, digits, "name=other", "optimizer.lr=0.2")
    page = Page(render([made["tiny"], other]))
    cells = [text.strip() for tag, text in page.texts if tag in ("th", "td")]
    at = cells.index("optimizer.lr")
    assert cells[at + 1 : at + 3] == ["0.1", "0.2"]


def test_every_number_in_a_table_is_defined(made):
    keys = {"depth", "0.1", "0.2", "", "3", "4"}
    for comparison in made.values():
        for section in [*sections(comparison), *summary(answer(comparison))]:
            for column in section.columns:
                if not column.picture and column.heading not in keys:
                    assert entry(column.heading) in GLOSSARY, column.heading


def test_a_page_of_five_norms_and_eight_seeds_stays_small(tmp_path, digits):
    norms = "norms=[none, batch, layer, rms, {kind: group, groups: 4}]"
    wanted = experiment(norms, "seeds=8", "training.steps=600", "training.evaluate_every=5")
    curve = {step: 0.1 + step / 1000 for step in range(0, 601, 5)}
    layers = dict.fromkeys(QUANTITIES, [0.123456789] * 40)
    probes = [probed(step, **layers) for step in range(0, 600, 24)]
    play(tmp_path, wanted, digits, lambda _: finishes(curve, probes=probes))
    assert len(render([compare("tiny", results=tmp_path)]).encode()) < MOST_BYTES


def test_every_definition_is_linked_from_some_page(pages):
    linked = {a["href"] for name in ("swept", "tuned") for a in Page(pages[name]).all("a")}
    assert {name for name in GLOSSARY if f"#{anchor(name)}" not in linked} == set()


def test_every_table_of_an_experiment_knows_all_its_norms(made):
    for comparison in made.values():
        for section in sections(comparison):
            assert list(section.norms) == ["none", "batch", "rms"]


def test_the_setting_tells_what_changes_the_numbers(made, tmp_path, digits):
    told = dict(setting(made["tiny"]))
    assert "precision fp32" in told["training"]
    assert "evaluate_every 5" in told["training"]
    assert told["validation split"] == "each seed's own"
    assert told["runtime"] == "threads 1, device cpu, stack 1, compile no"
    assert told["probes"] == "steps log"
    assert told["target"] == "50.0 % validation accuracy, as configured"
    fixed = put(tmp_path, digits, "data.split_seed=3", "target={from: batch, pilot_seeds: 2}")
    told = dict(setting(fixed))
    assert told["validation split"] == "one for all seeds (split_seed 3)"
    assert "the median final accuracy of 2 pilot runs of batch" in told["target"]
