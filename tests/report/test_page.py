"""The page as text: complete in itself, well formed, its tables those of the terminal."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import yaml
from reported import HOSTILE, STEERING, hostile, put
from scripted import finishes, play, probed
from tiny import experiment

from normbench.api import compare
from normbench.charts.base import CHARTS
from normbench.config import load
from normbench.plain import shown
from normbench.report import brief
from normbench.report.answer import answer
from normbench.report.glossary import GLOSSARY, anchor, entry
from normbench.report.page import render
from normbench.report.scripts import library
from normbench.report.sections import sections
from normbench.report.setup_facts import as_yaml, setup_facts
from normbench.report.summary import summary
from normbench.results.experiment import ExperimentResult

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
        wanted = {c for c in CHARTS if CHARTS[c].draw(made[name].chart_data) is not None}
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
    assert sum(shown(HOSTILE) in data for tag, data in page.texts if tag == "h1") == 1
    (specs,) = re.findall(r'id="specs">(.*?)</script>', text, re.S)
    found = json.dumps(json.loads(specs), ensure_ascii=False)
    assert shown(HOSTILE) in found.replace('\\"', '"').replace("\\\\", "\\")
    assert STEERING not in found


def test_characters_that_turn_the_reading_order_are_shown_escaped(made, pages):
    text = pages["hostile"].replace(library(), "")
    assert r"\u202e\x1b[31m\u2028" in text
    steering = {"\u202e", "\x1b", "\u2028"}
    assert not steering & set(text)
    assert not steering & set(brief.as_html(hostile(made["tiny"])))


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


@pytest.mark.slow
def test_a_page_of_eight_norms_and_sixteen_seeds_stays_small(tmp_path, digits):
    groups = ", ".join(f"{{kind: group, groups: {n}}}" for n in (1, 2, 4, 8))
    norms = f"norms=[none, batch, layer, rms, {groups}]"
    wanted = experiment(norms, "seeds=16", "training.steps=600", "training.evaluate_every=5")
    # None of them learns in the end, so that every seed is a line of its own.
    curve = {step: 0.1 + step / 1000 for step in range(0, 600, 5)} | {600: 0.1}
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


def test_the_config_is_told_by_what_differs_from_the_defaults(made, tmp_path, digits):
    text, note = as_yaml(made["tiny"])
    told = yaml.safe_load(text)
    assert told["data"] == {"dataset": "digits", "validation": 100, "batch_size": 32}
    assert told["model"] == {"kind": "mlp", "depth": 3, "width": 16}
    assert told["norms"] == ["none", "batch", "rms"]
    assert "runtime" not in told
    assert "every key that is not here has its default" in note
    same = load(text).resolved()
    assert same == made["tiny"].results.config


def test_results_of_an_earlier_normbench_tell_the_whole_config(made):
    tiny = made["tiny"]
    old = ExperimentResult(replace(tiny.results, given={}))
    text, note = as_yaml(old)
    assert yaml.safe_load(text) == tiny.results.config
    assert "every key" in note


def test_the_setting_tells_what_the_config_led_to(made, tmp_path, digits):
    told = dict(setup_facts(made["tiny"]))
    assert told["validation split"] == "each seed's own"
    assert told["seeds"] == "3 (0 to 2)"
    assert told["budget"] == "12 steps"
    assert told["target"] == "50.0 % validation accuracy, as configured"
    fixed = put(tmp_path, digits, "data.split_seed=3", "target={from: batch, pilot_seeds: 2}")
    told = dict(setup_facts(fixed))
    assert told["validation split"] == "one for all seeds (split_seed 3)"
    assert "the median final accuracy of 2 pilot runs of batch" in told["target"]


def test_the_page_begins_with_the_sentences_and_then_the_forest_and_the_curves(made, pages):
    page = Page(pages["tiny"])
    told = answer(made["tiny"])
    texts = [text for tag, text in page.texts if tag == "p"]
    at = texts.index(told.sentences[0])
    assert tuple(texts[at : at + len(told.sentences)]) == told.sentences
    charts = [a["data-chart"] for a in page.all("figure")]
    assert charts[:2] == ["e0-chart-forest", "e0-chart-curves"]
    before = pages["tiny"].index("data-chart")
    assert pages["tiny"].index("<p>" + told.sentences[0][:20]) < before


def test_a_sweep_begins_with_its_matrix(pages):
    charts = [a["data-chart"] for a in Page(pages["swept"]).all("figure")]
    assert charts[:2] == ["e0-chart-matrix", "e0-chart-curves"]


def test_configuration_and_environment_are_folded_away_at_the_end(pages):
    page = Page(pages["tiny"])
    folded = [text for tag, text in page.texts if tag == "summary"]
    assert folded == ["Configuration", "Fairness and environment"]
    assert all("open" not in attributes for attributes in page.all("details"))
    text = pages["tiny"]
    assert text.rindex("<figure") < text.index("<details") < text.index('id="glossary"')


def test_curves_can_be_read_as_error_or_as_accuracy(pages):
    (specs,) = re.findall(r'id="specs">(.*?)</script>', pages["tiny"], re.S)
    views = json.loads(specs)["e0-chart-curves"]["views"]
    options = [text.strip() for tag, text in Page(pages["tiny"]).texts if tag == "option"]
    assert [option for option in options if option in views] == [
        "error rate, on a logarithm",
        "accuracy",
    ]
    data = json.loads(specs)["e0-chart-curves"]["data"]
    used = {view["data"]["name"] for view in views.values()}
    assert len(used) == 1  # both are of the same rows
    assert used < set(data)


def test_the_verdict_stands_before_the_numbers_behind_it(pages):
    page = Page(pages["tiny"])
    headings = [text for tag, text in page.texts if tag in ("a", "th")]
    at = headings.index("metric")
    assert headings[at + 1 : at + 3] == ["verdict", "diff."]
