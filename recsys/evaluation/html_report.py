"""metrics.json as an HTML report, and as a few lines for a terminal."""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from recsys.evaluation.charts import Bar, bars, grouped
from recsys.evaluation.methods import (
    ALS_BASELINE,
    ALS_BASELINE_WARM_ONLY,
    ALS_FOLDED,
    ALS_FROZEN,
    COMPOSED,
    ITEM_ITEM,
    ITEM_ITEM_ORDERS,
    POPULAR_EVER,
    POPULAR_LIVE,
    POPULAR_WEEK,
    SESSIONS_KNN,
)
from recsys.evaluation.metrics import GAPS
from recsys.score_weights import ScoreWeights

Json = dict[str, Any]
SHOWN_BY_GAP = (COMPOSED, ALS_FOLDED, POPULAR_LIVE)
INTERVALS = ("hr@3", "hr@10", "ndcg@3", "ndcg@10", "recall@3", "recall@10")
PLAIN = ("coverage@3", "coverage@10", "novelty@3", "popularity@3")

LABELS = {
    COMPOSED: "our recommendations",
    POPULAR_EVER: "best sellers of all time",
    POPULAR_WEEK: "best sellers of a week",
    POPULAR_LIVE: "best sellers right now",
    ALS_BASELINE_WARM_ONLY: "the old system, known customers only",
    ALS_BASELINE: "the old system, with best sellers",
    ALS_FROZEN: "similar customers, as of the split",
    ALS_FOLDED: "similar customers, up to date",
    ITEM_ITEM: "bought together",
    ITEM_ITEM_ORDERS: "in the same orders",
    SESSIONS_KNN: "sessions with the same products",
}
"""Names of the methods for readers from outside the field."""
CONFIGURATIONS = {
    "candidate": "the new configuration",
    "live": "the live configuration",
    "popularity": "best sellers, new configuration",
}
"""What the gate of the batch job compares in addition (recsys/evaluation/gate.py)."""

WORDS = {
    "the old system": "ALS with the settings of the replaced system. It had no products for customers who were unknown "
    "to its model; in the second variant they get the best sellers of the week.",
    "similar customers": "ALS: what customers with similar purchases bought. As of the split: trained on the purchases "
    "before it; up to date: with every later purchase folded in.",
    "sessions with the same products": "VMIS-kNN (2022): of customers who bought the same products lately, as of the "
    "split, the most similar ones vote for what else they bought.",
    "hit rate at 3": "The share of orders that contain at least one of the first three products.",
    "NDCG at 10": "Between 0 and 1: it is 1 if the first of the ten products are those that were bought.",
    "recall": "The share of an order's new products that were among the recommended ones.",
    "coverage": "The share of all products on sale that were recommended to at least one customer.",
    "novelty, popularity": "Mean self-information of recommended products in bits, and their mean share of all sales.",
    "rolling": "Each order is answered with the state just before it.",
    "static": "Holdout: each customer is answered once, at the split, and evaluated against all later purchases; the "
    "composed score uses its offline weights.",
    "repeats": "Rolling, but all products of an order count as hits, and purchased products may be recommended again.",
    "warm, cold": "Customers with and without an earlier purchase.",
    "±, intervals": "95 %, by a bootstrap over days with 2,000 resamples; methods are paired on the same days.",
}
STYLE = Path(__file__).with_name("html_report.css").read_text()


def page(document: Json) -> str:
    """The report as one HTML file that loads nothing else."""
    sections = (
        _headline(document),
        *_charts(document["rolling"]),
        _range(document["rolling"]),
        _ratios(document),
        _details(document),
        _choice(document),
        _glossary(document),
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Recommendations: {escape(document['file'])}</title><style>{STYLE}</style></head>"
        f"<body>{''.join(sections)}</body></html>\n"
    )


def text(document: Json) -> str:
    """The main figures, one line per method."""
    lines = []
    for protocol in _protocols(document):
        for name in ("warm", "all"):
            group = document[protocol].get(name)
            if group:
                lines.append(f"{protocol}, {name}: {group['questions']:,} questions")
                lines += [f"  {method:24s} {_line(figures)}" for method, figures in group["methods"].items()]
    return "\n".join(lines)


def _protocols(document: Json) -> list[str]:
    return [protocol for protocol in ("rolling", "static", "repeats") if protocol in document]


def _line(figures: Json) -> str:
    return "  ".join(
        f"{metric} {figures[metric][0]:.4f} [{figures[metric][1]:.4f}, {figures[metric][2]:.4f}]"
        for metric in ("hr@3", "ndcg@10")
    )


def _headline(document: Json) -> str:
    group = document["rolling"].get("warm") or document["rolling"]["all"]
    own, popular = (group["methods"][name]["hr@3"][0] for name in (COMPOSED, POPULAR_LIVE))
    return (
        f"<h1>Would our recommendations have been bought?</h1><p class=soft>{escape(document['file'])}, "
        f"purchases from {_day(document['split'])} to {_day(document['until'])}</p>"
        f'<p class="lead">Of 1,000 orders of customers who had bought before, <b>{own * 1000:.0f}</b> contain a new '
        f"product that would have been among the first three shown to them. With the products that sell best at that "
        f"moment it would have been {popular * 1000:.0f}.</p>"
        f"<p>Each of {group['questions']:,} such orders{_sampled(document)} was answered with the state before it, by "
        "the serving code. This is an offline evaluation: customers made their purchases without seeing the "
        "recommendations, so it cannot measure purchases that a recommendation would have caused.</p>"
    )


def _sampled(document: Json) -> str:
    return "" if document["sample"] == 1 else f" (a sample of {document['sample']:.0%})"


def _charts(rolling: Json) -> Iterable[str]:
    for name, words in (("warm", "customers who bought before"), ("all", "all known customers")):
        if name in rolling:
            yield f"<h2>Hit rate of three products: {words}</h2><p>The share of orders with at least one hit.</p>"
            yield _scrolled(bars(_bars(rolling[name], rolling[name]["methods"], "hr@3"), f"Hit rate at 3, {words}"))
    if "warm" in rolling:
        yield "<h2>Ranking quality of ten products: customers who bought before</h2>"
        yield "<p>NDCG at 10: a hit counts more the higher it is ranked.</p>"
        yield _scrolled(bars(_bars(rolling["warm"], rolling["warm"]["methods"], "ndcg@10"), "NDCG at 10, warm"))
    gaps = {name: rolling[name] for name, _, _ in GAPS if name in rolling}
    if gaps:
        yield "<h2>By the time since the customer's last purchase</h2><p>Hit rate of three products.</p>"
        charts = {
            f"{name} ({group['questions']:,} orders)": _bars(group, SHOWN_BY_GAP, "hr@3")
            for name, group in gaps.items()
        }
        yield _scrolled(grouped(charts, "Hit rate at 3 by time since the last purchase"))


def _bars(group: Json, names: Iterable[str], metric: str) -> list[Bar]:
    figures = ((name, group["methods"][name][metric]) for name in names)
    return [Bar(_label(name), value, low, high, leading=name == COMPOSED) for name, (value, low, high) in figures]


def _label(method: str) -> str:
    return LABELS.get(method) or CONFIGURATIONS.get(method, method)


def _range(rolling: Json) -> str:
    """Catalogue coverage."""
    group = rolling.get("warm") or rolling["all"]
    rows = "".join(
        f"<tr{_own(name)}>{_named(name)}<td>{figures['coverage@3']:.1%}</td><td>{figures['coverage@10']:.1%}</td>"
        f"<td>{figures['popularity@3']:.3%}</td></tr>"
        for name, figures in group["methods"].items()
    )
    return (
        "<h2>Catalogue coverage</h2><p>The share of all products on sale that were recommended to at least one "
        "customer, and the mean share of all sales of a recommended product.</p>"
        + _scrolled(
            "<table><tr><th></th><th class=words>method</th><th>among three</th><th>among ten</th>"
            f"<th>share of sales</th></tr>{rows}</table>"
        )
    )


def _ratios(document: Json) -> str:
    return (
        "<h2>How many times better than the alternatives</h2><p>An interval entirely above 1 is a significant "
        "advantage.</p>"
        + "".join(
            f"<h3>{name.capitalize()}</h3>{_scrolled(_ratio_table(document[name]))}" for name in _protocols(document)
        )
    )


def _ratio_table(groups: Json) -> str:
    """Customers who bought before and all customers, side by side."""
    names = [name for name in ("warm", "all") if name in groups]
    heads = "".join(f"<th colspan=2>{'bought before' if name == 'warm' else 'all customers'}</th>" for name in names)
    metrics = "<th>hit rate at 3</th><th>NDCG at 10</th>" * len(names)
    rows = "".join(
        f"<tr><td>{escape(_label(method))}</td>"
        + "".join(
            _ratio(groups[name]["ratios"][method]["hr@3"]) + _ratio(groups[name]["ratios"][method]["ndcg@10"])
            for name in names
        )
        + "</tr>"
        for method in groups[names[0]]["ratios"]
    )
    return f"<table><tr><th></th>{heads}</tr><tr><th>compared with</th>{metrics}</tr>{rows}</table>"


def _scrolled(wide: str) -> str:
    return f'<div class="scroll">{wide}</div>'


def _named(method: str) -> str:
    return f'<td>{escape(_label(method))}</td><td class="words soft">{escape(method)}</td>'


def _own(method: str) -> str:
    return " class=own" if method == COMPOSED else ""


def _ratio(found: Json) -> str:
    if found["ratio"] is None:
        return "<td>–</td>"
    value, low, high = found["ratio"]
    return f"<td>{value:.2f} <small>{low:.2f} – {high:.2f}</small></td>"


def _details(document: Json) -> str:
    return "<h2>All figures</h2>" + "".join(
        f"<details><summary>{protocol}: {escape(name)}, {group['questions']:,} questions</summary>"
        f"{_table(group)}</details>"
        for protocol in _protocols(document)
        for name, group in document[protocol].items()
    )


def _table(group: Json) -> str:
    head = "".join(f"<th>{metric}</th>" for metric in (*INTERVALS, *PLAIN))
    rows = "".join(
        f"<tr{_own(name)}><td>{escape(name)}</td>"
        + "".join(
            f"<td>{figures[metric][0]:.4f}<br><small>± {_half(figures[metric]):.4f}</small></td>"
            for metric in INTERVALS
        )
        + "".join(f"<td>{figures[metric]:.4f}</td>" for metric in PLAIN)
        + "</tr>"
        for name, figures in group["methods"].items()
    )
    return f'<div class="scroll"><table><tr><th>method</th>{head}</tr>{rows}</table></div>'


def _half(figure: list[float]) -> float:
    return (figure[2] - figure[1]) / 2


def _choice(document: Json) -> str:
    streaming, trials = document["recipe"]["composition"], document["search"]
    tables = f"<p>The chosen weights:</p>{_weights(streaming)}"
    if offline := streaming.get("still"):
        tables += f"<p>While the stream is unavailable:</p>{_weights(offline)}"
    als = ", ".join(f"{name} {value}" for name, value in document["recipe"]["als"].items())
    seconds = ", ".join(f"{name} {took:.0f} s" for name, took in document.get("seconds", {}).items())
    tried = sum(document["tried"].values())
    return (
        f"<h2>How it was chosen</h2><p>{tried:,} candidates were compared on the purchases from "
        f"{_day(document['validation']['from'])} to {_day(document['split'])}, before the ones reported here. "
        f"Test-set looks: {document['looks']}.</p>"
        f"<details><summary>The chosen weights</summary>{tables}<p>ALS: {escape(als)}</p></details>"
        f"<details><summary>The candidates that led at some point</summary>{_trials(trials)}</details>"
        f"<p class=soft>{seconds}</p>"
    )


def _weights(weights: Json) -> str:
    shown = {name: value for name, value in weights.items() if name != "still"}
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(_value(value))}</td></tr>" for name, value in shown.items())
    return f"<table>{rows}</table>"


def _trials(trials: list[Json]) -> str:
    rows = "".join(
        f"<tr><td>{place}</td><td>{escape(trial['stage'])}</td><td>{trial['figures']['hr@3']:.4f}</td>"
        f"<td>{trial['figures']['ndcg@10']:.4f}</td><td class=words>{escape(_differences(trial))}</td></tr>"
        for place, trial in enumerate(trials, 1)
    )
    return (
        '<div class="scroll"><table><tr><th></th><th>stage</th><th>hr@3</th><th>ndcg@10</th>'
        f"<th class=words>candidate</th></tr>{rows}</table></div>"
    )


def _differences(trial: Json) -> str:
    usual = msgspec.to_builtins(ScoreWeights())
    parts = {name: value for name, value in trial["composition"].items() if _value(value) != _value(usual.get(name))}
    return f"ALS rank {trial['als']['rank']}, " + ", ".join(f"{name} {_value(value)}" for name, value in parts.items())


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " + ".join(f"{part['weight']:g} × half-life {part['half_life_h']:g} h" for part in value)
    return str(value)


def _glossary(document: Json) -> str:
    words = "".join(f"<dt><b>{word}</b></dt><dd>{meaning}</dd>" for word, meaning in WORDS.items())
    return (
        f"<h2>Glossary</h2><dl>{words}</dl><p class=soft>Hits are products that the customer has not bought before; "
        "purchased products are not recommended, nor products without a sale in 30 days. The search compared "
        f"candidates on {document['validation']['sample']:.0%} of the orders.</p>"
    )


def _day(moment: str) -> str:
    return moment[:10]
