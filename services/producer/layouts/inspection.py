"""A mapping for a file, found by looking at it. What the file does not decide is a question, never a guess."""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from services.common.money import parse_cents, parse_whole
from services.producer.csv_rows import Unreadable
from services.producer.layouts import amounts, times
from services.producer.layouts.amounts import NumberStyle
from services.producer.layouts.containers import Container, container_of, first_bytes, open_table, sheet_names
from services.producer.layouts.mapping import Mapping, TextForm, Values, missing_fields
from services.producer.layouts.presets import NO_SALE, PRESETS, Preset, columns_of, present, preset_of
from services.producer.layouts.text_form import SAMPLE_BYTES, text_form
from services.producer.layouts.times import DateOrder
from services.producer.source import BadFile

SAMPLE_ROWS = 20_000
_MONEY = ("price", "amount", "discount", "refunded_amount", "order_total", "order_refund")
_NUMBERS = (*_MONEY, "quantity", "refunded_quantity")
_CURRENCY = ("currency", "order_currency", "currency_code", "waehrung", "devise", "moneda")
_STATUS = ("status", "order_status", "state", "financial_status", "bestellstatus")
_CODES = {"€": "EUR", "£": "GBP", "$": "USD", "US$": "USD", "¥": "JPY"}
_GENERIC = "generic"


class Undecided(Exception):
    """A question that the file does not answer. `choices` maps each answer to the option that gives it."""

    def __init__(self, question: str, choices: dict[str, tuple[str, str]]) -> None:
        super().__init__(question)
        self.question = question
        self.choices = choices


@dataclass(frozen=True, slots=True)
class Answers:
    """What a person has said about a file: an empty text or none leaves it to the file."""

    preset: str = ""
    encoding: str = ""
    delimiter: str = ""
    sheet: str = ""
    decimal: str = ""
    dates: str = ""
    zone: str = ""
    columns: Values = field(default_factory=dict)
    only: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A mapping, and what a person should know about it. `examples` has a value of each field."""

    mapping: Mapping
    container: Container
    notes: list[str]
    examples: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Sample:
    """The first rows of a table, each of the header's width."""

    path: Path
    columns: tuple[str, ...]
    rows: list[list[str]]

    def texts(self, names: Iterable[str]) -> list[str]:
        """The texts in some columns, where there are any."""
        at = [self.columns.index(name) for name in names]
        return [text for row in self.rows for each in at if (text := row[each].strip())]


def propose(path: Path, answers: Answers, shop_zone: str) -> Proposal:
    """The mapping of a file. `shop_zone`: that of times without one. Raises BadFile, Undecided."""
    container = container_of(path)
    form = TextForm()
    if container is Container.TEXT:
        form = text_form(first_bytes(path, SAMPLE_BYTES), answers.encoding, answers.delimiter)
    sheet = _sheet(path, answers.sheet) if container is Container.WORKBOOK else ""
    sample = _sample(path, form, sheet)
    preset = _preset(answers.preset, sample.columns)
    notes: list[str] = []
    columns = _columns(sample, preset, answers, notes)
    style = NumberStyle() if container is Container.PARQUET else _style(sample, columns, answers.decimal)
    mapping = Mapping(
        layout=preset.name if preset else _GENERIC,
        columns=columns,
        text=form,
        sheet=sheet,
        decimal=style.decimal,
        thousands=style.thousands,
        fill=_fill(sample, preset, columns),
        only=_conditions(preset.only if preset else {}, sample.columns) | answers.only,
        skip=_conditions(preset.skip if preset else {}, sample.columns),
    )
    mapping.dates = _dates(sample, mapping, answers.dates)
    mapping.zone = _zone(sample, mapping, answers.zone or (preset.zone if preset else ""), shop_zone, notes)
    _check_currency(sample, mapping)
    notes += _remarks(sample, mapping)
    examples = {name: next(iter(sample.texts(sources)), "") for name, sources in columns.items()}
    return Proposal(mapping, container, notes, examples)


def _sheet(path: Path, asked: str) -> str:
    names = sheet_names(path)
    if asked or len(names) == 1:
        return asked or names[0]
    if not names:
        raise BadFile(f"{path} has no sheet with rows")
    raise Undecided(f"{path.name} has several sheets: which one?", {name: ("--sheet", name) for name in names})


def _sample(path: Path, form: TextForm, sheet: str) -> _Sample:
    with open_table(path, form, sheet) as table:
        width = len(table.columns)
        rows = [row.fields for row in islice(table.rows, SAMPLE_ROWS) if not isinstance(row.fields, Unreadable)]
        whole = [row for row in rows if len(row) == width]
    if not whole:
        raise BadFile(f"{path} has no rows below its header ({', '.join(table.columns)[:200]})")
    return _Sample(path, table.columns, whole)


def _preset(asked: str, columns: Sequence[str]) -> Preset | None:
    if not asked:
        return preset_of(columns)
    return next((preset for preset in PRESETS if preset.name == asked), None)


def _columns(sample: _Sample, preset: Preset | None, answers: Answers, notes: list[str]) -> Values:
    found = columns_of(preset, sample.columns) | answers.columns
    unknown = sorted({name for names in found.values() for name in names} - set(sample.columns))
    if unknown:
        raise BadFile(f"{sample.path} has no column {', '.join(unknown)} (found: {', '.join(sample.columns)[:300]})")
    if preset is None and "amount" not in answers.columns:
        _check_amount(sample, found, notes)
    for name in missing_fields(found):
        question = f"Which column of {sample.path.name} is the {_WORDS[name]} ({name})?"
        raise Undecided(question, {column: ("--column", f"{name}={column}") for column in sample.columns if column})
    return found


_WORDS = {"event_time": "time of the sale", "order_id": "order", "product_id": "product", "price": "price of a piece"}


def _check_amount(sample: _Sample, found: Values, notes: list[str]) -> None:
    """A total is a line's only if it mostly is price × quantity; else it may be the order's, on each of its lines."""
    if "amount" not in found or "price" not in found:
        return
    styles = amounts.possible_styles(sample.texts([*found["price"], *found["amount"]]))
    at = [sample.columns.index(found[name][0]) if name in found else -1 for name in ("price", "quantity", "amount")]
    equal = sum(_is_product(row, at, styles[0]) for row in sample.rows)
    if equal * 2 < len(sample.rows):
        [column] = found.pop("amount")
        notes.append(
            f"{column!r} is price × quantity in {equal:,} of {len(sample.rows):,} rows only: not taken for the line's "
            f"total; --column 'amount={column}' takes it"
        )


def _is_product(row: Sequence[str], at: Sequence[int], style: NumberStyle) -> bool:
    price, quantity, amount = (style.number(row[each]) or "" if each >= 0 else "1" for each in at)
    try:
        return parse_cents(price) * parse_whole(quantity) == parse_cents(amount)
    except ValueError:
        return False


def _style(sample: _Sample, columns: Values, asked: str) -> NumberStyle:
    texts = sample.texts(name for field in _NUMBERS for name in columns.get(field, [])[:1])
    styles = [style for style in amounts.possible_styles(texts) if asked in ("", style.decimal)]
    if len(styles) == 1:
        return styles[0]
    if not styles:
        return NumberStyle(asked, "." if asked == "," else ",")
    example = amounts.undecided(texts, styles)
    choices = {
        f"{style.number(example)} (decimal mark {style.decimal!r})": ("--decimal", style.decimal) for style in styles
    }
    raise Undecided(f"Which number is {example!r} in {sample.path.name}?", choices)


def _dates(sample: _Sample, mapping: Mapping, asked: str) -> DateOrder:
    if asked:
        return DateOrder(asked)
    texts = set(_time_texts(sample.columns, sample.rows, mapping))
    orders = times.possible_orders(texts)
    if len(orders) > 1:
        texts |= _all_time_texts(sample, mapping)
        orders = times.possible_orders(texts)
    if all(times.epoch_millis(text, orders[0], "UTC") is None for text in texts):
        example = next(iter(sorted(texts)), "")
        raise BadFile(
            f"{sample.path}: the column {' + '.join(mapping.columns['event_time'])} holds no time that can be read "
            f"(such as {example!r}); name the column with --column event_time=NAME"
        )
    if len(orders) == 1:
        return orders[0]
    example = times.undecided(sorted(texts))
    raise Undecided(
        f"Is {example!r} in {sample.path.name} day/month or month/day? No row decides.",
        {order.value: ("--dates", order.value) for order in orders},
    )


def _time_texts(columns: Sequence[str], rows: Iterable[Sequence[str]], mapping: Mapping) -> Iterator[str]:
    at = [columns.index(name) for name in mapping.columns["event_time"]]
    for row in rows:
        if text := " ".join(part for each in at if (part := row[each].strip())):
            yield text


def _all_time_texts(sample: _Sample, mapping: Mapping) -> set[str]:
    with open_table(sample.path, mapping.text, mapping.sheet) as table:
        width = len(table.columns)
        rows = (row.fields for row in table.rows if not isinstance(row.fields, Unreadable))
        return set(_time_texts(table.columns, (row for row in rows if len(row) == width), mapping))


def _zone(sample: _Sample, mapping: Mapping, asked: str, shop_zone: str, notes: list[str]) -> str:
    texts = set(_time_texts(sample.columns, sample.rows, mapping))
    if not any(map(times.has_time_of_day, texts)):
        notes.append("times have no hour: hours and minutes of the figures will be those of midnight")
    if "time_zone" in mapping.columns or all(map(times.names_zone, texts)):
        return asked or "UTC"
    zone = asked or shop_zone
    notes.append(f"times name no zone: they are read as {zone} time (--zone changes that)")
    return zone


def _fill(sample: _Sample, preset: Preset | None, columns: Values) -> list[str]:
    """The columns that an order's further rows leave empty: the preset's, or what is seen to be."""
    if preset:
        return present(preset.fill, sample.columns)
    [order, *_] = columns["order_id"]
    first = [*columns["event_time"], order]
    sources = dict.fromkeys([*first, *columns.get("user_id", [])])
    continued = {name: _continued_where_blank(sample, name, order) for name in sources}
    if not any(continued[name] and all(continued[name]) for name in first):
        return []
    return [name for name in sources if any(continued[name])]


def _continued_where_blank(sample: _Sample, name: str, order: str) -> list[bool]:
    """For each row with an empty field in a column: whether it goes on with the order of the row before."""
    at, order_at = sample.columns.index(name), sample.columns.index(order)
    pairs = zip([[""] * len(sample.columns), *sample.rows], sample.rows, strict=False)
    return [row[order_at] in ("", before[order_at]) for before, row in pairs if not row[at].strip()]


def _conditions(conditions: AnyMapping[str, Sequence[str]], columns: Sequence[str]) -> Values:
    return {name: list(values) for key, values in conditions.items() for name in present((key,), columns)}


def _check_currency(sample: _Sample, mapping: Mapping) -> None:
    signs = {_CODES.get(sign, sign) for sign in amounts.units(sample.texts(_sources(mapping, _MONEY)))}
    if len(signs) > 1:
        raise BadFile(
            f"{sample.path} has amounts in {', '.join(sorted(signs))}: send each currency as a file of its own"
        )
    for name in present(_CURRENCY, sample.columns):
        codes = sorted(set(sample.texts([name])))
        if len(codes) > 1 and name not in mapping.only:
            choices = {code: ("--only", f"{name}={code}") for code in codes}
            raise Undecided(
                f"{sample.path.name} has amounts in {', '.join(codes)}: the rows of which one count?", choices
            )


def _sources(mapping: Mapping, fields: Iterable[str]) -> list[str]:
    return [name for field in fields for name in mapping.columns.get(field, [])]


def _remarks(sample: _Sample, mapping: Mapping) -> list[str]:
    notes = []
    for name in present(_STATUS, sample.columns):
        unsold = sorted({text for text in sample.texts([name]) if text.casefold() in NO_SALE})
        if unsold and name not in mapping.skip:
            notes.append(f"rows with {name} {', '.join(unsold)} count as sales: [skip] in the mapping leaves them out")
    customers = mapping.columns.get("user_id", [])
    if any("@" in text for text in sample.texts(customers)[:1000]):
        notes.append("customers are known by their e-mail addresses, which figures and page will show")
    if not customers:
        notes.append(
            "no column names the customer: there will be no figures by customer and no personal recommendations"
        )
    return notes
