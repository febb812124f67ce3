"""Product search by id prefix and by words. Pure."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from services.gateway.queries.entities import Product

_WORD = re.compile(r"\w+")


def find_products(products: Iterable[Product], text: str, limit: int) -> list[Product]:
    """The first `limit` products whose id begins with the text, or that have a word for each word of the text.

    A word matches the beginning of a word of name, brand or category, ignoring case. An empty text matches all.
    """
    return list(islice(_matching(products, text.strip().lower()), limit))


def _matching(products: Iterable[Product], text: str) -> Iterator[Product]:
    wanted = _split(text)
    for product in products:
        if product.product_id.lower().startswith(text) or (wanted and _holds(_words(product), wanted)):
            yield product


def _words(product: Product) -> list[str]:
    facts = product.facts
    if facts is None:
        return []
    return _split(" ".join(filter(None, (facts.product_name, facts.brand, facts.category_code))).lower())


def _split(text: str) -> list[str]:
    return _WORD.findall(text.replace("_", " "))


def _holds(words: list[str], wanted: list[str]) -> bool:
    return all(any(word.startswith(start) for word in words) for start in wanted)
