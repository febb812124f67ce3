"""The figures of similar products as tables, and a page of products with their substitutes and complements."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from recsys.catalogue import Catalogue
from recsys.variety import POOL, Variety
from spark.evaluate_similar import Shop

Json = dict[str, Any]
_SHOWN = 3
_UNKNOWN = "unknown"
_PAGE_HEAD = (
    "# Substitutes and complements of some products",
    "",
    "The best seller of each of the best-selling categories, as of the split, with the first three of each list: name, "
    "brand, price.",
    "Written by `python -m spark.evaluate --task similar --page FILE`.",
    "",
)


def text(document: Json) -> str:
    """All tables for a terminal."""
    substitutes, complements, variety = (document[part] for part in ("substitutes", "complements", "variety"))
    return "\n".join(
        [
            f"from {document['split']} to {document['until']}",
            f"\nsubstitutes: {substitutes['questions']:,} changes from one product of a category to another",
            *_rows(substitutes["methods"]),
            "\nshare of the first three that are of the category asked about",
            *(f"{name:44}{_range(share):>26}" for name, share in substitutes["same category"].items()),
            f"\ncomplements: {complements['questions']:,} orders, one product asks for one of another category",
            *_rows(complements["methods"]),
            f"\nvariety: {variety['questions']:,} orders of known customers, default weights",
            *_rows(variety["methods"]),
            "",
            *(
                f"{name:44}{each['alike']:>10.1%} of answers with two cards alike{each['categories']:>8.2f} categories"
                for name, each in variety["methods"].items()
            ),
        ]
    )


def _rows(methods: Json) -> Iterable[str]:
    yield f"{'':44}{'HR@3':>26}{'NDCG@10':>26}{'HR@3 / first':>26}"
    for name, each in methods.items():
        yield f"{name:44}" + "".join(f"{_range(each[figure]):>26}" for figure in ("hr@3", "ndcg@10", "ratio"))


def _range(figure: Sequence[float]) -> str:
    value, low, high = (f"{number:.4f}" for number in figure)
    return f"{value} [{low}, {high}]"


def product_page(shop: Shop, products: int) -> str:
    """The best sellers of the best-selling categories, one each, with substitutes and complements, as Markdown."""
    pairs, catalogue = shop.order_pairs, shop.catalogue
    rows = [*_PAGE_HEAD, "| product | substitutes | complements (orders with both) |", "|---|---|---|"]
    for product in _best_of_categories(shop, products):
        allowed = shop.on_sale.copy()
        allowed[product] = False
        found = shop.likeness.complements(product, POOL, allowed, pairs)
        together = shop.ranker.varied(found, _SHOWN, Variety()).ranked.rows
        allowed[together] = False  # as in an answer, no product is both
        like = shop.likeness.substitutes(product, _SHOWN, allowed).ranked.rows
        described = [f"{_described(catalogue, row)} ({pairs.together(product, row):,})" for row in together.tolist()]
        names = [_described(catalogue, row) for row in like.tolist()]
        rows.append(f"| {_described(catalogue, product)} | {'<br>'.join(names)} | {'<br>'.join(described)} |")
    return "\n".join(rows) + "\n"


def _best_of_categories(shop: Shop, products: int) -> list[int]:
    sold = np.where(shop.on_sale, shop.view.popularity(30), 0.0)
    best: dict[int, int] = {}
    for row in np.argsort(-sold, kind="stable").tolist():
        category = int(shop.categories[row])
        if category >= 0 and category not in best:
            best[category] = row
        if len(best) == products:
            break
    return list(best.values())


def _described(catalogue: Catalogue, row: int) -> str:
    name = catalogue.names[row] or catalogue.categories[row] or _UNKNOWN
    cents = catalogue.price(row)
    price = "" if cents is None else f" {cents / 100:.2f}"
    return f"{name.replace('|', '/')} · {catalogue.brands[row] or _UNKNOWN}{price}"
