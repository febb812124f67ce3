"""The recommender's server with a model of random factors and no stream: `python -m bench.serving.recommender`."""

import argparse
import asyncio
import signal
from pathlib import Path

from bench.scoring import random_recommender
from services.recommender.answering import CustomerAnswers
from services.recommender.direct import DirectServer
from services.recommender.server import RecommenderServer
from services.recommender.service import clock_ms
from services.recommender.serving import Serving, ServingModel


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m bench.serving.recommender")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--items", type=int, default=4_000)
    parser.add_argument("--rank", type=int, default=64)
    parser.add_argument("--socket", type=Path, help="answer a gateway there, too")
    options = parser.parse_args()
    served = ServingModel(random_recommender(options.users, options.items, options.rank), 0)
    asyncio.run(_serve(options.port, options.socket, Serving(main=served)))


async def _serve(port: int, path: Path | None, serving: Serving) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = RecommenderServer(lambda: serving)
    await server.start("127.0.0.1", port)
    direct = DirectServer(lambda: serving, CustomerAnswers(None, lambda: None), clock_ms, max_waiting=1_000)
    if path is not None:
        await direct.start(path)
    await stop.wait()
    await direct.close()
    await server.close(1.0)


if __name__ == "__main__":
    main()
