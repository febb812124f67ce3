"""The gateway's clients of its upstreams and the threads of the blocking ones, closed with a stack."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass

from services.common.object_store import ObjectStore
from services.common.redis_client import connect
from services.gateway.access.rates import RequestRates, SharedRates
from services.gateway.queries.shards import LiveTables, open_live_tables
from services.gateway.settings import GatewaySettings
from services.gateway.upstreams.direct_client import DirectClient
from services.gateway.upstreams.event_intake import EventProducer
from services.gateway.upstreams.recommender_channel import RecommenderAccess
from services.gateway.upstreams.recommender_client import RecommenderClient

_S3_THREADS = 4


@dataclass(frozen=True, slots=True)
class Clients:
    """Open clients: one for all requests and background tasks."""

    tables: LiveTables
    rates: RequestRates
    shared_rates: SharedRates
    recommender: RecommenderClient
    direct: DirectClient | None  # to a recommender on this host
    event_producer: EventProducer
    product_producer: EventProducer  # a fault of one topic leaves the other's writes alone
    store: ObjectStore
    s3_threads: ThreadPoolExecutor
    # Reads that hang must not keep an admin from a rollback.
    admin_threads: ThreadPoolExecutor


def open_clients(settings: GatewaySettings, stack: AsyncExitStack) -> Clients:
    """Open all clients; none connects before it is used. `stack` closes them in reverse order."""
    rates = RequestRates(settings.requests_per_minute)
    direct = None if settings.recommender_socket is None else DirectClient(settings.recommender_socket)
    clients = Clients(
        tables=open_live_tables(settings, settings.time_zone),
        rates=rates,
        shared_rates=SharedRates(rates, connect(settings)),
        recommender=RecommenderClient(
            settings.recommender_address,
            settings.recommender_deadline_ms,
            settings.recommender_batch_deadline_ms,
            _recommender_access(settings),
            direct,
        ),
        direct=direct,
        event_producer=EventProducer(settings, settings.purchases_topic),
        product_producer=EventProducer(settings, settings.products_topic),
        store=ObjectStore(settings),
        s3_threads=ThreadPoolExecutor(_S3_THREADS, "s3"),
        admin_threads=ThreadPoolExecutor(1, "admin"),
    )
    stack.push_async_callback(clients.tables.close)
    stack.push_async_callback(clients.shared_rates.close)
    stack.push_async_callback(clients.recommender.close)
    if direct is not None:
        stack.push_async_callback(direct.close)
    stack.push_async_callback(clients.event_producer.close)
    stack.push_async_callback(clients.product_producer.close)
    stack.callback(clients.store.close)
    stack.callback(clients.s3_threads.shutdown, wait=False, cancel_futures=True)
    stack.callback(clients.admin_threads.shutdown, wait=False, cancel_futures=True)
    return clients


def _recommender_access(settings: GatewaySettings) -> RecommenderAccess:
    token = settings.recommender_token
    # Of several, the first: the recommender accepts all while one is replaced.
    return RecommenderAccess(settings.recommender_files, token.get_secret_value().split()[0] if token else None)
