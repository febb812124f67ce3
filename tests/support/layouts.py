"""Small exports in the layouts of shop systems, and what a file would be sent as."""

import json
from pathlib import Path
from typing import Any

from services.producer.layouts.file import MappedFile
from services.producer.layouts.inspection import Answers, Proposal
from services.producer.layouts.mapping import Mapping
from services.producer.layouts.review import mapping_needed
from services.producer.line_ids import read_line_ids
from services.producer.rows import Record, RejectedRow, RowEncoder
from services.producer.source import PurchaseFile

NOW_MS = 1_800_000_000_000

SHOPIFY = """\
Name,Email,Financial Status,Paid at,Currency,Subtotal,Shipping,Taxes,Total,Discount Code,Discount Amount,Created at,\
Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,Lineitem discount,Cancelled at,Refunded Amount,Vendor,Id
#1001,ada@example.com,paid,2026-03-01 10:15:00 -0500,USD,26.50,5.00,0.00,31.50,TEN,2.00,2026-03-01 10:14:05 -0500,\
1,Tea towel,12.50,TT-1,0.00,,0.00,acme,5550001
#1001,ada@example.com,,,,,,,,,,2026-03-01 10:14:05 -0500,2,"Mug, large",8.00,,0.00,,,acme,
#1002,bo@example.com,partially_refunded,2026-03-01 11:20:00 +0000,USD,30.00,0.00,0.00,30.00,,0.00,\
2026-03-01 11:20:00 +0000,3,Bowl,10.00,BOWL,0.00,,10.00,acme,5550002
#1003,,voided,,USD,10.00,0.00,0.00,10.00,,0.00,2026-03-02 09:00:00 +0000,1,Bowl,10.00,BOWL,0.00,,0.00,acme,5550003
#1004,cy@example.com,refunded,,USD,10.00,0.00,0.00,10.00,,0.00,2026-03-02 09:00:00 +0000,1,Bowl,10.00,BOWL,0.00,\
2026-03-03 10:00:00 +0000,10.00,acme,5550004
"""
WOOCOMMERCE = """\
order_id,order_number,order_date,status,customer_id,billing_email,item_product_id,item_name,item_sku,item_quantity,\
item_subtotal,item_total,item_total_tax,item_refunded,item_refunded_qty
501,501,2026-03-01 10:14:05,completed,7,ada@example.com,91,Tea towel,TT-1,2,25.00,20.00,3.80,0.00,0
501,501,2026-03-01 10:14:05,completed,7,ada@example.com,92,Mug,,3,24.00,24.00,4.56,8.00,'-1
502,502,2026-03-01 11:00:00,cancelled,0,bo@example.com,91,Tea towel,TT-1,1,12.50,12.50,2.38,0.00,0
503,503,2026-03-02 08:00:00,processing,0,cy@example.com,91,Tea towel,TT-1,1,12.50,12.50,2.38,0.00,0
"""
WOOCOMMERCE_ADVANCED = """\
Order Number,Order Status,Order Date,Email (Billing),SKU,Item #,Item Name,Quantity (- Refund),Item Cost
601,Completed,2026-03-01 10:14,ada@example.com,TT-1,1,Tea towel,2,12.50
602,Refunded,2026-03-01 10:20,bo@example.com,MUG,1,Mug,'-1,8.00
603,Failed,2026-03-01 10:30,cy@example.com,MUG,1,Mug,1,8.00
"""
MAGENTO = """\
increment_id,created_at,status,customer_id,customer_email,sku,name,qty_ordered,qty_refunded,price,row_total,\
discount_amount,amount_refunded
000000101,2026-03-01 10:14:05,complete,7,ada@example.com,TT-1,Tea towel,2.0000,0.0000,12.5000,25.0000,5.0000,0.0000
000000102,2026-03-01 11:00:00,closed,,bo@example.com,MUG,Mug,3.0000,1.0000,8.0000,24.0000,0.0000,8.0000
000000103,2026-03-01 12:00:00,canceled,,cy@example.com,MUG,Mug,1.0000,0.0000,8.0000,8.0000,0.0000,0.0000
"""
SQUARE = """\
Date,Time,Time Zone,Category,Item,Qty,Price Point Name,SKU,Modifiers Applied,Gross Sales,Discounts,Net Sales,Tax,\
Transaction ID,Payment ID,Event Type,Location,Customer ID,Customer Name
2026-03-01,10:14:05,Eastern Time (US & Canada),Drinks,Coffee,2.0,Regular,COF,,$9.00,-$1.00,$8.00,$0.64,T1,P1,Payment,\
Main,C7,Ada
2026-03-01,10:14:05,Eastern Time (US & Canada),Food,Cake,1.0,Regular,,,"$1,004.50",$0.00,"$1,004.50",$0.36,T1,P1,\
Payment,Main,C7,Ada
2026-03-01,11:00:00,Eastern Time (US & Canada),Drinks,Coffee,-1.0,Regular,COF,,($4.50),$0.00,($4.50),($0.36),T2,P2,\
Refund,Main,,
"""
LIGHTSPEED = """\
Date,Receipt Number,Line Type,Customer Code,Customer Name,Note,Quantity,Subtotal,Sales Tax,Discount,Loyalty,Total,Paid,\
Details,Register,User,Status,Sku
2026-03-01 10:14:05,9001,Sale,ada-1,Ada,,3,22.5,0,0,0,22.5,,2 X Tea towel,Main,Kim,Closed,
,,Sale Line,,,,2,15,0,5,0,15,,Tea towel,,,,TT-1
,,Sale Line,,,,1,7.5,0,0,0,7.5,,Mug,,,,MUG
,,Payment,,,,,,,,,,22.5,Cash,,,,
2026-03-01 11:00:00,9002,Sale,,,,-1,-7.5,0,0,0,-7.5,,Mug,Main,Kim,Closed,
,,Sale Line,,,,-1,-7.5,0,0,0,-7.5,,Mug,,,,MUG
"""
ODOO = """\
Order Ref,Date,Customer,Status,Order Lines/Product,Order Lines/Quantity,Order Lines/Unit Price,\
Order Lines/Discount (%),Order Lines/Subtotal
Shop/0001,2026-03-01 10:14:05,Ada,Posted,[TT-1] Tea towel,2.00,12.50,10.00,22.50
,,,,[MUG] Mug,1.00,8.00,0.00,8.00
Shop/0002,2026-03-01 11:00:00,,Posted,[MUG] Mug,-1.00,8.00,0.00,-8.00
Shop/0003,2026-03-01 12:00:00,,Cancelled,[MUG] Mug,1.00,8.00,0.00,8.00
"""
UCI = """\
InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6,7/1/2010 8:26,2.55,17850.0,United Kingdom
536365,71053,WHITE METAL LANTERN,6,7/1/2010 8:26,3.39,17850.0,United Kingdom
C536379,D,Discount,-1,7/13/2010 9:41,27.50,14527,United Kingdom
536414,22139,,56,7/13/2010 11:52,0,,United Kingdom
"""
GENERIC = """\
Report of the shop;;;;;;
Bestelldatum;Uhrzeit;Bestellnummer;Artikelnummer;Bezeichnung;Menge;Einzelpreis
13.03.2026;10:14;A-1;4711;Käse;2;1.234,50 €
14.03.2026;09:00;A-2;4712;Öl;1;12,00 €
"""


def sent(path: Path, mapping: Mapping | None) -> list[dict[str, Any] | RejectedRow]:
    """The events of a file's rows in order, without what is empty; or the dead letter."""
    with PurchaseFile(path) if mapping is None else MappedFile(path, mapping) as file:
        ids = read_line_ids(file)
    with PurchaseFile(path) if mapping is None else MappedFile(path, mapping) as file:
        encoder = RowEncoder(file.columns, path.name, ids, lambda key: (0, key.encode()))
        outcomes = [each for block in file.blocks() for each in encoder.encode(block, NOW_MS)]
    return [json.loads(each.value) if isinstance(each, Record) else each for each in outcomes]


def events(path: Path, mapping: Mapping | None) -> list[dict[str, Any]]:
    """As `sent`, where no row is refused."""
    outcomes = sent(path, mapping)
    assert not [each for each in outcomes if isinstance(each, RejectedRow)], outcomes
    return [each for each in outcomes if isinstance(each, dict)]


def proposed(path: Path, zone: str = "UTC", **answers: Any) -> Proposal:
    """What is found out about a file that needs a mapping."""
    proposal = mapping_needed(path, Answers(**answers), zone)
    assert proposal is not None
    return proposal
