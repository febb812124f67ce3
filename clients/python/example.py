"""Figures, recommendations and a sale by the Python client: `python example.py http://localhost:8080 CUSTOMER`."""

import sys

from tillstream_client import Client
from tillstream_client.api.customers import recommendations
from tillstream_client.api.events import send
from tillstream_client.api.figures import summary
from tillstream_client.models import ProblemDocument, PurchaseEvent


def main(address: str, customer: str) -> None:
    """With API keys: AuthenticatedClient(address, token=key)."""
    with Client(address) as client:
        figures = summary.sync(client=client)
        if figures is None or isinstance(figures, ProblemDocument):
            raise SystemExit(f"no figures: {figures}")
        print("revenue", figures.revenue)
        answer = recommendations.sync(customer, client=client, k=3)
        if answer is not None and not isinstance(answer, ProblemDocument):
            print("recommended", *(item.product_id for item in answer.items))
        sale = PurchaseEvent(
            event_id="1", event_time="2026-11-29T12:00:00Z", order_id="A-17", product_id="4711", price="9.90"
        )
        taken = send.sync(client=client, body=sale)
        if taken is not None and not isinstance(taken, ProblemDocument):
            print("accepted", taken.accepted)


if __name__ == "__main__":
    main(*sys.argv[1:3])
