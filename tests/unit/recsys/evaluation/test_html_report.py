"""The report of an evaluation: what it says, and that it needs nothing else."""

import re
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest

from recsys.evaluation import html_report
from recsys.evaluation.charts import LABEL, Bar, bars, grouped
from recsys.evaluation.methods import CANDIDATES, COMPOSED, ModelConfig
from recsys.evaluation.metrics import GAPS
from recsys.evaluation.rolling import Answers
from recsys.evaluation.search_trials import SearchTrial
from recsys.evaluation.summary import Json, summary
from recsys.score_weights import DecayTerm, ScoreWeights
from tests.support.evaluation_methods import BASELINE_NAMES

ALS = CANDIDATES[0]


def document() -> Json:
    """Five warm and one cold question; the composition hits in three of the warm ones, live popularity in one."""
    methods = (COMPOSED, *BASELINE_NAMES)
    hits = np.zeros((len(methods), 6, 10), np.bool_)
    hits[0, [0, 1, 2], 0] = True
    hits[methods.index("popularity, live"), 1, 2] = True
    answers = Answers(
        methods=methods,
        at_ms=np.arange(6) * 86_400_000,
        gap_ms=np.array([start for _, start, _ in GAPS] + [-1]),
        targets=np.ones(6, np.int64),
        shown=np.zeros((len(methods), 6, 10), np.int32),
        hits=hits,
        candidates=np.ones(1, np.bool_),
    )
    weights = ScoreWeights(
        neighbours=1.0,
        live=0.01,
        trends=(DecayTerm(6.0, 1.0), DecayTerm(168.0, 0.1)),
        offline_weights=ScoreWeights(factors=1.0, live=0.1, trends=(DecayTerm(720.0, 1.0),)),
    )
    trial = SearchTrial("personal", weights, ALS, 0.1, {"hr@3": 0.06, "ndcg@10": 0.04})
    figures = summary(answers, np.ones(1), COMPOSED)
    return {
        "file": "<shop>.csv",
        "split": "2020-10-22T00:00:00Z",
        "until": "2020-11-21T10:10:31Z",
        "sample": 0.25,
        "validation": {"from": "2020-10-08T00:00:00Z", "sample": 0.5},
        "looks": 2,
        "recipe": ModelConfig(ALS, weights, ScoreWeights(live=1.0)).record(),
        "rolling": figures,
        "static": {name: figures[name] for name in ("all", "warm", "cold")},
        "tried": {"strangers": 900, "personal": 2100},
        "search": [msgspec.to_builtins(trial.record())],
        "seconds": {"rolling": 61.4},
    }


class Tags(HTMLParser):
    """Fails on a tag that is not closed, and keeps the addresses that the page would load."""

    VOID = ("meta", "br", "rect", "path")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.VOID

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing() -> None:
    tags = Tags()
    tags.feed(html_report.page(document()))
    assert tags.open == []
    assert tags.loads == []
    assert not re.search(r"https?:|url\(|@import|<script", html_report.page(document()))


def test_the_page_says_in_plain_words_what_was_found() -> None:
    words = re.sub(r"<[^>]+>", "", html_report.page(document()))
    assert "Of 1,000 orders of customers who had bought before, 600 contain a new product" in words
    assert "it would have been 200." in words
    assert "Each of 5 such orders (a sample of 25%) was answered" in words
    assert "3,000 candidates were compared on the purchases from 2020-10-08 to 2020-10-22" in words
    assert "While the stream is unavailable:" in words
    assert "neighbours 1.0" in words, "what a candidate differs by from the usual, a weight of 1, too"
    assert "Test-set looks: 2." in words
    assert "1 × half-life 6 h + 0.1 × half-life 168 h" in words
    assert "&lt;shop&gt;.csv" in words


def test_every_method_and_group_is_there() -> None:
    page = html_report.page(document())
    assert all(name in page for name in (COMPOSED, *BASELINE_NAMES))
    assert all(page.count(label) > 3 for label in html_report.LABELS.values()), "charts speak the merchandiser's words"
    assert set(html_report.LABELS) == {COMPOSED, *BASELINE_NAMES}
    assert all(f"{name} (1 orders)" in page for name, _, _ in GAPS)
    assert page.count("<svg") == 4


def test_a_shop_where_things_are_bought_again_has_figures_for_that() -> None:
    again = document() | {"repeats": document()["rolling"]}
    assert "<h3>Repeats</h3>" not in html_report.page(document())
    assert "<h3>Repeats</h3>" in html_report.page(again)
    assert "repeats, all: 6 questions" in html_report.text(again)


def test_a_shop_without_returning_customers_has_a_page_too() -> None:
    cold = document()
    for protocol in ("rolling", "static"):
        cold[protocol] = {name: cold[protocol][name] for name in ("all", "cold")}
    assert "Hit rate of three products: all known customers" in html_report.page(cold)


def test_the_page_tells_how_much_of_the_range_is_shown() -> None:
    shop = document()
    for figures in shop["rolling"]["warm"]["methods"].values():
        figures |= {"coverage@3": 0.0126, "coverage@10": 0.052, "popularity@3": 0.0005}
    words = re.sub(r"<[^>]+>", " ", html_report.page(shop))
    assert re.search(r"our recommendations +composed +1\.3% +5\.2% +0\.050%", words)


def test_the_terminal_gets_a_line_a_method() -> None:
    lines = html_report.text(document()).splitlines()
    assert lines[0] == "rolling, warm: 5 questions"
    assert re.match(r"  composed +hr@3 0\.6000 \[0\.\d{4}, [01]\.\d{4}\]  ndcg@10 0\.6000 ", lines[1])
    assert len(lines) == 4 * (1 + len(BASELINE_NAMES) + 1)


def test_bars_are_to_scale_with_their_intervals() -> None:
    chart = bars([Bar("a", 0.02, 0.01, 0.04, leading=True), Bar("b & c", 0.01, 0.01, 0.01)], "title")
    widths = [float(width) for width in re.findall(r'width="([\d.]+)"', chart)]
    assert widths[0] == pytest.approx(2 * widths[1])
    left, right = map(float, re.findall(r'd="M([\d.]+) \d+H([\d.]+)', chart)[0])
    assert (right - LABEL) == pytest.approx(4 * (left - LABEL), rel=1e-3)
    assert "2.00%" in chart
    assert "b &amp; c" in chart


def test_groups_share_one_scale() -> None:
    chart = grouped({"x": [Bar("a", 0.04, 0.04, 0.04)], "y": [Bar("a", 0.01, 0.01, 0.01)]}, "title")
    widths = [float(width) for width in re.findall(r'width="([\d.]+)"', chart)]
    assert widths[0] == pytest.approx(4 * widths[1], rel=1e-2)


def test_a_chart_of_nothing_is_a_chart() -> None:
    assert bars([Bar("a", 0.0, 0.0, 0.0)], "title").startswith("<svg")
