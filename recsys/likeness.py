"""How alike products are by what the catalogue says: category path, words of the name, brand, price. NumPy only.

Each likeness is within 0 to 1, and 0 where either side is unknown. Texts repeat over products, so that they are
compared once for each distinct text. The stream adds texts: what is kept about them grows with the columns.
"""

import math
import re
import unicodedata
from array import array
from collections import OrderedDict

import numpy as np

from recsys.catalogue import NO_PRICE, Catalogue, Labels
from recsys.topk import Allowed, Float64s, Int64s, Rows

_WORD = re.compile(r"\w{2,}")
UNNAMED = -1
_CATEGORIES_KEPT = 256  # whose likeness to all others is cached


def words_of(name: str) -> frozenset[str]:
    """The distinct words of a name, in lower case; single characters are left out."""
    return frozenset(_WORD.findall(name.casefold()))


def path_likeness(one: str, other: str) -> float:
    """The common part of two dotted codes: 1 for the same, ½ for `food.milk` and `food.bread`, 0 for unknown ones."""
    if not one or not other:
        return 0.0
    first, second = one.split("."), other.split(".")
    longest = max(len(first), len(second))
    same = next(
        (n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
    return same / longest


class NameWords:
    """The words of the distinct names of a column, as postings. A rare word says more than a frequent one.

    likeness = Σ over common words: w² / (|name| · |other name|), where w = ln(1 + names / names with the word) and
    |name| = √Σ w²: the cosine of tf-idf. Weights are those of the moment when a name came in.
    """

    def __init__(self, names: Labels) -> None:
        self._names = names
        self._postings: dict[str, array[int]] = {}
        self._weights: dict[str, float] = {}
        self._lengths = array("d")
        self._read_new()

    def likeness(self, text: str) -> Float64s:
        """Of a name to each distinct one [texts]."""
        self._read_new()
        found, own = np.zeros(len(self._lengths)), 0.0
        for word in words_of(text):
            postings = self._postings.get(word)
            if postings is not None:
                squared = self._weights[word] ** 2
                found[np.array(postings)] += squared
                own += squared
        if not own:
            return found
        found /= np.maximum(np.array(self._lengths), 1e-9) * math.sqrt(own)
        return np.minimum(found, 1.0)

    def _read_new(self) -> None:
        """Add the names that came since."""
        first = len(self._lengths)
        new = [words_of(name) for name in self._names.values[first:]]
        for code, words in enumerate(new, first):
            for word in words:
                self._postings.setdefault(word, array("i")).append(code)
        number = len(self._names.values)
        for word in {word for words in new for word in words}:
            self._weights.setdefault(word, math.log(1 + number / len(self._postings[word])))
        self._lengths.extend(math.sqrt(sum(self._weights[word] ** 2 for word in words)) for words in new)


class NameNumbers:
    """A number for each distinct name of a column; names that differ in case, spaces or Unicode form alone are one."""

    def __init__(self, names: Labels) -> None:
        self._names = names
        self._number_of: dict[str, int] = {"": UNNAMED}
        self._numbers = array("q")

    def of(self, rows: Rows) -> Int64s:
        """The numbers of the names of some rows [rows]; UNNAMED where the name is unknown."""
        for name in self._names.values[len(self._numbers) :]:
            self._numbers.append(self._number_of.setdefault(_normalised(name), len(self._number_of)))
        numbers: Int64s = np.array(self._numbers)[self._names.codes[rows]]
        return numbers


def _normalised(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


class CatalogueLikeness:
    """Likeness of one product to others, by a catalogue that the stream updates."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._words = NameWords(catalogue.names)
        self._numbers = NameNumbers(catalogue.names)
        self._kept: OrderedDict[str, Float64s] = OrderedDict()

    def category(self, product: int, rows: Rows) -> Float64s:
        """The common part of the category paths [rows]."""
        categories = self._catalogue.categories
        likeness: Float64s = self._paths(categories[product])[categories.codes[rows]]
        return likeness

    def name(self, product: int, rows: Rows) -> Float64s:
        """Common words of the names [rows]."""
        names = self._catalogue.names
        likeness: Float64s = self._words.likeness(names[product])[names.codes[rows]]
        return likeness

    def distinct_names(self, rows: Rows) -> Int64s:
        """A number for each row [rows], equal where the names are; a row without a name has a number of its own."""
        numbers = self._numbers.of(rows)
        return np.where(numbers == UNNAMED, UNNAMED - 1 - rows, numbers)

    def brand(self, product: int, rows: Rows) -> Float64s:
        """1 for the same known brand [rows]."""
        brands = self._catalogue.brands
        if not brands[product]:
            return np.zeros(len(rows))
        same: Float64s = (brands.codes[rows] == brands.codes[product]).astype(np.float64)
        return same

    def price(self, product: int, rows: Rows) -> Float64s:
        """The lower price over the higher one [rows]."""
        prices, own = self._catalogue.prices[rows], int(self._catalogue.prices[product])
        if own <= 0:
            return np.zeros(len(rows))
        ratio = np.minimum(prices, own) / np.maximum(prices, own)
        return np.where(prices == NO_PRICE, 0.0, ratio)

    def has_category(self, product: int) -> bool:
        """Whether the category of a row is known."""
        return bool(self._catalogue.categories[product])

    def same_need(self, product: int, rows: Rows) -> Allowed:
        """Products of the same category [rows]; where it is unknown, of the same name."""
        labels = self._catalogue.categories if self.has_category(product) else self._catalogue.names
        if not labels[product]:
            return np.zeros(len(rows), np.bool_)
        same: Allowed = labels.codes[rows] == labels.codes[product]
        return same

    def _paths(self, code: str) -> Float64s:
        """The likeness of a category to each distinct one."""
        codes, kept = self._catalogue.categories.values, self._kept.get(code)
        if kept is None or len(kept) < len(codes):
            kept = self._kept[code] = np.array([path_likeness(code, other) for other in codes], np.float64)
        self._kept.move_to_end(code)
        if len(self._kept) > _CATEGORIES_KEPT:
            self._kept.popitem(last=False)
        paths: Float64s = kept
        return paths
