"""The product: the contract of topic `products`. One validation for REST, files and the topic. Pure."""

import re
from collections.abc import Mapping
from enum import StrEnum
from sys import intern
from typing import Any
from urllib.parse import urlsplit

import msgspec

from services.common.events import MAX_CATEGORY_LEVELS, MAX_ID_LENGTH, MAX_TEXT_LENGTH
from services.common.money import MAX_UNIT_PRICE_CENTS, format_cents, parse_cents, without_exponent
from services.common.spellings import NO_VALUE
from services.common.texts import is_clean
from services.common.times import format_time, parse_time

MAX_PRODUCT_BYTES = 16 * 1024
MAX_URL_LENGTH = 2048
MAX_ATTRIBUTES = 32
MAX_ATTRIBUTE_NAME = 64

_UNKNOWN_FIELD = re.compile(r"unknown field `(.*?)`")
_FIELD = re.compile(r"`\$\.(\w+)")
_URL = re.compile(r"https?://[!-~]+")
_NONE: Mapping[str, str] = {}


class Availability(StrEnum):
    """Whether a product may be recommended: only what is in stock is."""

    IN_STOCK = "in_stock"
    OUT_OF_STOCK = "out_of_stock"
    HIDDEN = "hidden"
    DELETED = "deleted"


class CatalogueProduct(msgspec.Struct, frozen=True):
    """A product as the shop describes it. Absent texts are None: then what purchases say holds.

    `price` is cents; `version_time` epoch milliseconds, when the shop's own system changed the product.
    """

    product_id: str
    product_name: str | None = None
    category_code: str | None = None
    brand: str | None = None
    price: int | None = None
    image_url: str | None = None
    availability: Availability = Availability.IN_STOCK
    attributes: Mapping[str, str] = _NONE
    version_time: int | None = None

    @property
    def recommendable(self) -> bool:
        """Whether it may be recommended."""
        return self.availability is Availability.IN_STOCK


class InvalidProduct(ValueError):
    """A product breaks the contract; the message names the field."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field


_ABSENT = msgspec.Raw()


class _Wire(msgspec.Struct):
    """The JSON object as received. The price stays raw text, so that no float ever exists."""

    product_id: str | None = None
    product_name: str | None = None
    category_code: str | None = None
    brand: str | None = None
    price: msgspec.Raw = _ABSENT
    image_url: str | None = None
    availability: str | None = None
    attributes: dict[str, str] | None = None
    version_time: str | None = None


class _StrictWire(_Wire, forbid_unknown_fields=True):
    """The same from a writer: a field that is misspelt would leave a product on sale."""


_readers = msgspec.json.Decoder(_Wire)
_writers = msgspec.json.Decoder(_StrictWire)
_text_of = msgspec.json.Decoder(str).decode


def parse_product(value: bytes, *, product_id: str | None = None, strict: bool = True) -> CatalogueProduct:
    """Validate a product. Raises InvalidProduct.

    `product_id`: what its id must be, or is where the value names none. `strict` refuses unknown fields; a reader of
    the topic ignores them, since a newer writer may know more.
    """
    if len(value) > MAX_PRODUCT_BYTES:
        raise InvalidProduct("product", f"has {len(value):,} bytes, more than {MAX_PRODUCT_BYTES:,}")
    wire = _decode(value, strict)
    return CatalogueProduct(
        product_id=_product_id(wire.product_id, product_id),
        product_name=_text(wire.product_name, "product_name"),
        category_code=_category(wire.category_code),
        brand=_label(_text(wire.brand, "brand")),
        price=_price(wire.price),
        image_url=_image_url(wire.image_url),
        availability=_availability(wire.availability),
        attributes=_attributes(wire.attributes),
        version_time=_version_time(wire.version_time),
    )


def encode_product(product: CatalogueProduct) -> bytes:
    """The product's record value, with the fields that it has."""
    price, time = product.price, product.version_time
    fields: dict[str, Any] = {
        "product_id": product.product_id,
        "product_name": product.product_name,
        "category_code": product.category_code,
        "brand": product.brand,
        "price": None if price is None else format_cents(price),
        "image_url": product.image_url,
        "availability": product.availability.value,
        "attributes": dict(product.attributes) or None,
        "version_time": None if time is None else format_time(time),
    }
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None})


def _decode(value: bytes, strict: bool) -> _Wire:
    try:
        return (_writers if strict else _readers).decode(value)
    except msgspec.ValidationError as error:
        raise _contradiction(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidProduct("product", f"is not JSON: {error}") from None


def _contradiction(said: str) -> InvalidProduct:
    if (unknown := _UNKNOWN_FIELD.search(said)) is not None:
        return InvalidProduct(unknown[1][:MAX_ATTRIBUTE_NAME], "is not a field of a product")
    field = _FIELD.search(said)
    return InvalidProduct(field[1] if field else "product", f"has the wrong type: {said}")


def _product_id(given: str | None, expected: str | None) -> str:
    if given is not None and expected is not None and given != expected:
        raise InvalidProduct("product_id", f"must be {expected[:MAX_ID_LENGTH]!r}, or left out")
    product_id = given if expected is None else expected
    if not product_id:
        raise InvalidProduct("product_id", "is missing or empty")
    if len(product_id) > MAX_ID_LENGTH or not is_clean(product_id):
        raise InvalidProduct("product_id", f"must be 1 to {MAX_ID_LENGTH} characters without control characters")
    return product_id


def _text(value: str | None, field: str) -> str | None:
    if not value or value in NO_VALUE:
        return None
    if len(value) > MAX_TEXT_LENGTH or not is_clean(value):
        raise InvalidProduct(field, f"must be at most {MAX_TEXT_LENGTH} characters without control characters")
    return value


def _category(value: str | None) -> str | None:
    code = _text(value, "category_code")
    if code is not None and "." in code:
        levels = code.split(".")
        if len(levels) > MAX_CATEGORY_LEVELS or not all(levels):
            raise InvalidProduct("category_code", f"must have 1 to {MAX_CATEGORY_LEVELS} levels, none empty")
    return _label(code)


def _label(text: str | None) -> str | None:
    """One object for a text that many products share."""
    return None if text is None else intern(text)


def _price(raw: msgspec.Raw) -> int | None:
    literal = bytes(raw)
    if literal in (b"", b"null", b'""'):
        return None
    try:
        text = _text_of(literal) if literal.startswith(b'"') else without_exponent(literal.decode())
        cents = parse_cents(text)
    except (ValueError, msgspec.DecodeError) as error:
        raise InvalidProduct("price", str(error)) from None
    if not 0 <= cents <= MAX_UNIT_PRICE_CENTS:
        raise InvalidProduct("price", f"{text[:40]!r} is not within 0 to 9,999,999.99")
    return cents


def _image_url(value: str | None) -> str | None:
    """An address that a page may show: of http or https, without a name and password."""
    if not value:
        return None
    if len(value) > MAX_URL_LENGTH or _URL.fullmatch(value) is None:
        raise InvalidProduct(
            "image_url",
            f"must begin with https:// or http:// and have at most {MAX_URL_LENGTH:,} visible ASCII letters",
        )
    try:
        parts = urlsplit(value)
        named = bool(parts.hostname) and (parts.port or 1) > 0 and "@" not in parts.netloc
    except ValueError:
        named = False
    if not named:
        raise InvalidProduct("image_url", "must name a host, and no user")
    return value


def _availability(value: str | None) -> Availability:
    if not value:
        return Availability.IN_STOCK
    try:
        return Availability(value)
    except ValueError:
        raise InvalidProduct("availability", f"must be one of {', '.join(Availability)}, not {value[:40]!r}") from None


def _attributes(given: dict[str, str] | None) -> Mapping[str, str]:
    if not given:
        return _NONE
    if len(given) > MAX_ATTRIBUTES:
        raise InvalidProduct("attributes", f"must have at most {MAX_ATTRIBUTES} entries, not {len(given)}")
    for name, text in given.items():
        if not 1 <= len(name) <= MAX_ATTRIBUTE_NAME or not is_clean(name):
            raise InvalidProduct("attributes", f"must have names of 1 to {MAX_ATTRIBUTE_NAME} printable characters")
        if len(text) > MAX_TEXT_LENGTH or not is_clean(text):
            raise InvalidProduct(f"attributes.{name}", f"must be at most {MAX_TEXT_LENGTH} printable characters")
    return {intern(name): text for name, text in given.items()}


def _version_time(value: str | None) -> int | None:
    if not value:
        return None
    try:
        return parse_time(value)
    except (ValueError, OverflowError) as error:
        raise InvalidProduct("version_time", str(error)) from None
