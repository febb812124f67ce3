"""Follows the pointer: builds the model it names beside the live one, then swaps one reference."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec

from services.common.metrics import (
    RECOMMENDER_LOAD_SECONDS,
    RECOMMENDER_MODEL,
    RECOMMENDER_MODEL_CREATED,
    RECOMMENDER_MODEL_REFUSALS,
    RECOMMENDER_MODEL_REFUSED,
    RECOMMENDER_POLL_FAILURES,
)
from services.common.objectstore import NoSuchObject
from services.recommender.folder import Fault, ModelSource, Refused
from services.recommender.model import Model, load_model

MODELS = "models/als"
POINTER = f"{MODELS}/current.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LiveModel:
    """The model that answers, and since when (epoch ms)."""

    model: Model
    loaded_at_ms: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """The newest version that was refused, and why."""

    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class Serving:
    """What is served: replaced as a whole, so that a reader sees one state or the other."""

    live: LiveModel | None = None
    refusal: Refusal | None = None


class _Pointer(msgspec.Struct, frozen=True):
    version: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]


class ModelLoader:
    """Polls the pointer in a thread of its own: reading and building never hold up an answer.

    A refused version is not tried again until the pointer changes. Trouble with the store is no refusal: the poll
    is repeated and the live model stays.
    """

    def __init__(self, source: ModelSource, poll_s: float, on_change: Callable[[Serving], None]) -> None:
        """`on_change` is called in the loader's thread after each swap or refusal."""
        self.serving = Serving()
        self._source = source
        self._poll_s = poll_s
        self._on_change = on_change
        self._stop = threading.Event()
        self._pointer_seen: bytes | None = None
        # A daemon: a download that hangs must not hold up the end of the process.
        self._thread = threading.Thread(target=self._run, name="model-loader", daemon=True)

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def close(self) -> None:
        """Stop polling; a load under way is given up at its next file."""
        self._stop.set()

    def poll(self) -> None:
        """Look at the pointer once and act on a change. Raises what the store raises."""
        body = self._read_pointer()
        if body is None or body == self._pointer_seen:
            return
        self._follow(body)
        self._pointer_seen = body

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.poll()
            except InterruptedError:
                return
            except Exception as error:
                # Whatever went wrong, the thread must live on: nothing else would ever load a model.
                RECOMMENDER_POLL_FAILURES.inc()
                log.warning("cannot read the current model, will try again: %s", error)
            self._stop.wait(self._poll_s)

    def _read_pointer(self) -> bytes | None:
        try:
            return self._source.get(POINTER)
        except NoSuchObject:
            return None

    def _follow(self, body: bytes) -> None:
        version = ""
        try:
            version = _version(body)
            self._swap(self._load(version))
        except Refused as refused:
            self._refuse(version, refused)

    def _load(self, version: str) -> LiveModel:
        live = self.serving.live
        if live is not None and live.model.version == version:
            return live
        with RECOMMENDER_LOAD_SECONDS.time():
            model = load_model(self._source, f"{MODELS}/{version}", version, self._stop.is_set)
        if self._stop.is_set():
            raise InterruptedError(version)
        return LiveModel(model, int(time.time() * 1000))

    def _swap(self, live: LiveModel) -> None:
        RECOMMENDER_MODEL.clear()
        RECOMMENDER_MODEL.labels(live.model.version).set(1)
        RECOMMENDER_MODEL_CREATED.set(live.model.created_at_ms / 1000)
        RECOMMENDER_MODEL_REFUSED.set(0)
        log.info("serving model %s", live.model.version)
        self._publish(Serving(live))

    def _refuse(self, version: str, refused: Refused) -> None:
        RECOMMENDER_MODEL_REFUSALS.labels(refused.fault.value).inc()
        RECOMMENDER_MODEL_REFUSED.set(1)
        log.error("refused model %s: %s", version, refused)
        self._publish(Serving(self.serving.live, Refusal(version, str(refused))))

    def _publish(self, serving: Serving) -> None:
        self.serving = serving
        self._on_change(serving)


def _version(pointer: bytes) -> str:
    try:
        return msgspec.json.decode(pointer, type=_Pointer).version
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(Fault.POINTER, f"current.json: {error}") from None
