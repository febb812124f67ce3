"""Layouts of shop systems by the names of their columns, and the names that others use. Pure.

Names are compared without case, spaces and punctuation. docs/your-data.md says for each layout what is taken and what
is not.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Names = tuple[str, ...]


class Preset(NamedTuple):
    """A layout: the columns by which it is known, and where each of ours comes from.

    A field takes the first of its names that the file has; product and customer take all of them, so that a name or an
    address may stand in for an id that is missing. Times without a zone are in `zone`; where it is "", in the shop's.
    """

    name: str
    known_by: Names
    columns: Mapping[str, Names]
    fill: Names = ()
    only: Mapping[str, Names] = {}
    skip: Mapping[str, Names] = {}
    zone: str = ""


# Fields of a preset that take all the columns they name.
_ALL = frozenset(("product_id", "user_id"))

SEED_COLUMNS: Mapping[str, Names] = {
    name: (name,)
    for name in (
        *("event_time", "order_id", "product_id", "category_id", "category_code", "brand", "price", "user_id"),
        *("quantity", "amount", "product_name", "event_id"),
    )
}

PRESETS = (
    Preset(
        "shopify",
        ("Name", "Created at", "Lineitem quantity", "Lineitem price"),
        {
            "event_time": ("Created at",),
            "order_id": ("Name",),
            "product_id": ("Lineitem sku", "Lineitem name"),
            "product_name": ("Lineitem name",),
            "price": ("Lineitem price",),
            "quantity": ("Lineitem quantity",),
            "discount": ("Lineitem discount",),
            "order_total": ("Subtotal",),
            "order_refund": ("Refunded Amount",),
            "user_id": ("Customer ID", "Email"),
            "brand": ("Vendor",),
        },
        fill=("Created at", "Customer ID", "Email", "Financial Status", "Cancelled at"),
        skip={"Financial Status": ("voided", "expired"), "Cancelled at": ("*",)},
    ),
    Preset(
        "woocommerce",  # one row an item, as the Customer/Order Export writes it
        ("order_id", "status", "item_quantity", "item_total"),
        {
            "event_time": ("order_date", "date", "date_created"),
            "order_id": ("order_number", "order_id"),
            "product_id": ("item_sku", "item_product_id", "item_name"),
            "product_name": ("item_name",),
            "quantity": ("item_quantity",),
            "amount": ("item_total",),
            "refunded_quantity": ("item_refunded_qty",),
            "refunded_amount": ("item_refunded",),
            "user_id": ("customer_id", "billing_email"),
        },
        skip={"status": ("cancelled", "failed", "pending", "draft", "checkout-draft", "trash")},
    ),
    Preset(
        "woocommerce-advanced",  # Advanced Order Export
        ("Order Number", "Order Date", "Quantity (- Refund)", "Item Cost"),
        {
            "event_time": ("Order Date",),
            "order_id": ("Order Number",),
            "product_id": ("SKU", "Product Id", "Item Name"),
            "product_name": ("Item Name",),
            "price": ("Item Cost",),
            "quantity": ("Quantity (- Refund)",),
            "user_id": ("Customer User ID", "Email (Billing)"),
            "category_code": ("Category",),
        },
        skip={"Order Status": ("Cancelled", "Failed", "Pending payment", "Draft", "Trash")},
    ),
    Preset(
        "magento",  # sales_order_item with the columns of its order; times of the database are UTC
        ("increment_id", "created_at", "qty_ordered", "row_total"),
        {
            "event_time": ("created_at",),
            "order_id": ("increment_id",),
            "product_id": ("sku",),
            "product_name": ("name",),
            "price": ("price",),
            "quantity": ("qty_ordered",),
            "amount": ("row_total",),
            "discount": ("discount_amount",),
            "refunded_quantity": ("qty_refunded",),
            "refunded_amount": ("amount_refunded",),
            "user_id": ("customer_id", "customer_email"),
        },
        skip={"status": ("canceled", "pending_payment", "fraud"), "state": ("canceled", "pending_payment")},
        zone="UTC",
    ),
    Preset(
        "square",  # Items detail
        ("Date", "Time", "Item", "Qty", "Net Sales", "Transaction ID"),
        {
            "event_time": ("Date",),
            "time_zone": ("Time Zone",),
            "order_id": ("Transaction ID",),
            "product_id": ("SKU", "Item"),
            "product_name": ("Item",),
            "quantity": ("Qty",),
            "amount": ("Net Sales",),
            "user_id": ("Customer ID",),
            "category_code": ("Category",),
        },
    ),
    Preset(
        "lightspeed",  # Retail (X-Series), sales with their lines
        ("Date", "Receipt Number", "Line Type", "Quantity", "Subtotal", "Sku"),
        {
            "event_time": ("Date",),
            "order_id": ("Receipt Number",),
            "product_id": ("Sku", "Details"),
            "product_name": ("Details",),
            "quantity": ("Quantity",),
            "amount": ("Subtotal",),
            "user_id": ("Customer Code",),
        },
        fill=("Date", "Receipt Number", "Customer Code"),
        only={"Line Type": ("Sale Line",)},
    ),
    Preset(
        "odoo-pos",  # pos.order with its lines
        ("Order Ref", "Date", "Order Lines/Product", "Order Lines/Quantity"),
        {
            "event_time": ("Date",),
            "order_id": ("Order Ref",),
            "product_id": ("Order Lines/Product",),
            "product_name": ("Order Lines/Product",),
            "price": ("Order Lines/Unit Price",),
            "quantity": ("Order Lines/Quantity",),
            "amount": ("Order Lines/Subtotal", "Order Lines/Subtotal w/o Tax"),
            "user_id": ("Customer", "Customer/ID"),
        },
        fill=("Order Ref", "Date", "Customer", "Customer/ID", "Status"),
        skip={"Status": ("Cancelled", "New")},
    ),
    Preset(
        "uci-online-retail",
        ("StockCode", "Description", "Quantity", "InvoiceDate", "Country"),
        {
            "event_time": ("InvoiceDate",),
            "order_id": ("InvoiceNo", "Invoice"),
            "product_id": ("StockCode",),
            "product_name": ("Description",),
            "price": ("UnitPrice", "Price"),
            "quantity": ("Quantity",),
            "user_id": ("CustomerID", "Customer ID"),
        },
        zone="Europe/London",  # the set is of a shop in the United Kingdom
    ),
)

# The names of columns in exports of other systems, the best first. Only the first that a file has is taken.
SYNONYMS: Mapping[str, Names] = {
    "event_time": (
        *("event_time", "order_datetime", "order_timestamp", "purchase_time", "purchase_date", "transaction_time"),
        *("created_at", "date_created", "created", "ordered_at", "order_date", "order_time", "date_order", "placed_at"),
        *("invoice_date", "sale_date", "sold_at", "transaction_date", "paid_at", "datetime", "timestamp", "date_time"),
        *("date", "time", "bestelldatum", "kaufdatum", "rechnungsdatum", "datum", "date_commande", "fecha", "data"),
    ),
    "order_id": (
        *("order_id", "order_number", "order_no", "order_ref", "order_name", "order", "increment_id", "invoice_no"),
        *("invoice_number", "invoice_id", "invoice", "receipt_number", "receipt_no", "receipt_id", "receipt"),
        *("transaction_id", "transaction", "basket_id", "sale_id", "bestellnummer", "auftragsnummer", "belegnummer"),
        *("rechnungsnummer", "bestell_nr", "auftrag_nr", "beleg_nr", "numero_commande", "commande", "pedido", "ordine"),
    ),
    "product_id": (
        *("product_id", "sku", "product_sku", "item_sku", "variant_sku", "stock_code", "product_code", "item_code"),
        *("item_id", "item_number", "item_no", "article_id", "article_number", "article_no", "variant_id", "asin"),
        *("ean", "gtin", "upc", "barcode", "plu", "artikelnummer", "artikel_nr", "art_nr", "reference", "referencia"),
        *("product", "item", "product_name", "item_name", "article", "artikel", "produkt"),
    ),
    "price": (
        *("price", "unit_price", "price_per_unit", "unit_cost", "item_price", "item_cost", "product_price"),
        *("sale_price", "selling_price", "einzelpreis", "stueckpreis", "preis", "prix_unitaire", "prix", "precio"),
        *("precio_unitario", "prezzo"),
    ),
    "amount": (
        *("amount", "line_total", "line_amount", "row_total", "net_sales", "net_amount", "item_total", "total_price"),
        *("line_revenue", "revenue", "subtotal", "gesamtpreis", "betrag", "summe", "umsatz", "montant", "importe"),
    ),
    "quantity": (
        *("quantity", "qty", "item_quantity", "qty_ordered", "quantity_ordered", "units", "pieces", "anzahl"),
        *("menge", "stueck", "stueckzahl", "quantite", "cantidad", "quantita"),
    ),
    "user_id": (
        *("user_id", "customer_id", "customer_no", "customer_number", "customer_code", "client_id", "buyer_id"),
        *("member_id", "household_id", "shopper_id", "customer_email", "email", "customer", "kundennummer"),
        *("kunden_nr", "kunde", "client", "cliente"),
    ),
    "product_name": (
        *("product_name", "item_name", "product_title", "item_title", "title", "product_description", "description"),
        *("product", "item", "artikelname", "bezeichnung", "artikelbezeichnung", "produktname", "designation"),
    ),
    "category_code": (
        *("category_code", "category", "product_category", "category_name", "product_type", "department"),
        *("kategorie", "warengruppe", "categorie", "categoria"),
    ),
    "category_id": ("category_id", "kategorie_id"),
    "brand": ("brand", "vendor", "manufacturer", "marke", "hersteller", "marque", "marca"),
    "event_id": ("event_id",),
    "discount": ("line_discount", "item_discount"),
    "time_zone": ("time_zone", "timezone"),
}

# Values that say that an order was no sale. Rows with them are counted and shown, never left out unasked.
NO_SALE = frozenset(("cancelled", "canceled", "voided", "failed", "draft", "pending", "storniert", "abandoned"))


def plain_name(name: str) -> str:
    """A column's name as names are compared."""
    folded = name.casefold().replace("ü", "ue").replace("ä", "ae").replace("ö", "oe").replace("é", "e")
    return re.sub(r"[\W_]+", "", folded.replace("#", "number"))


_KNOWN = frozenset(
    plain_name(name)
    for columns in (SYNONYMS, *(preset.columns for preset in PRESETS))
    for names in columns.values()
    for name in names
)


def known_names(row: Sequence[str]) -> int:
    """How many of a row's fields are names of columns that occur in a known layout."""
    return sum(plain_name(field) in _KNOWN for field in row)


def preset_of(columns: Sequence[str]) -> Preset | None:
    """The layout of a file with these columns, by all the names that it is known by."""
    names = {plain_name(name) for name in columns}
    known = (preset for preset in PRESETS if {plain_name(name) for name in preset.known_by} <= names)
    return max(known, key=lambda preset: len(preset.known_by), default=None)


def columns_of(preset: Preset | None, columns: Sequence[str]) -> dict[str, list[str]]:
    """Field → columns of the file, as the preset or, without one, as the synonyms have it."""
    wanted = preset.columns if preset else SYNONYMS
    found = {field: present(names, columns) for field, names in wanted.items()}
    stand_ins = _ALL if preset else frozenset()
    chosen = {field: names if field in stand_ins else names[:1] for field, names in found.items() if names}
    return _with_time(chosen, columns)


def present(names: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Those columns of a file that have one of the names, in the order of the names."""
    by_name = {plain_name(column): column for column in reversed(columns)}
    return [by_name[plain] for name in names if (plain := plain_name(name)) in by_name]


def _with_time(found: dict[str, list[str]], columns: Sequence[str]) -> dict[str, list[str]]:
    """A column `Date` comes with one for the time of day."""
    day = found.get("event_time", [])
    time = present(("time", "uhrzeit", "heure", "hora"), columns)
    if day and time and day != time and "time" not in plain_name(day[0]):
        found["event_time"] = [*day, *time[:1]]
    return found
