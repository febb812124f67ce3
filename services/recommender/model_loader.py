"""Follows the pointer: builds the models it names beside the live ones, then swaps one reference."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from recsys.model import Model, load_model
from recsys.model_format import InvalidModel, ModelFault, ModelSource
from recsys.recommender import Recommender
from services.common import model_pointer
from services.common.metrics import (
    RECOMMENDER_LOAD_SECONDS,
    RECOMMENDER_MODEL,
    RECOMMENDER_MODEL_CREATED,
    RECOMMENDER_MODEL_REFUSALS,
    RECOMMENDER_MODEL_REFUSED,
    RECOMMENDER_POLL_FAILURES,
)
from services.common.model_pointer import MAIN, Pointer
from services.common.model_registry import POINTER, folder_of
from services.common.storage_errors import NoSuchObject
from services.recommender.ab_assignment import chosen

log = logging.getLogger(__name__)


class Following(Protocol):
    """What moves a live state on with the stream."""

    @property
    def lag(self) -> int | None:
        """Records not yet applied; None before the first contact."""

    @property
    def events_per_second(self) -> float | None:
        """Purchases applied a second; None before the first contact."""

    def age_ms(self, now_ms: int) -> int | None:
        """How old what is known of the stream is; None before the first contact."""


@dataclass(frozen=True, slots=True)
class LiveModel:
    """A model that answers, since when (epoch ms), and what moves its state on (None: nothing does)."""

    recommender: Recommender
    loaded_at_ms: int
    following: Following | None = None

    @property
    def model(self) -> Model:
        """What it answers from."""
        return self.recommender.model

    def age_ms(self, now_ms: int) -> int | None:
        """How old what is known of the stream is; None where nothing is known since the cut-off."""
        return None if self.following is None else self.following.age_ms(now_ms)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A version that was refused, and why."""

    version: str
    reason: str


@dataclass(frozen=True, slots=True)
class Variant:
    """A model on trial for a share of the customers; refused, the main model answers for it."""

    name: str
    weight: float
    version: str
    live: LiveModel | None
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Serving:
    """What is served: replaced as a whole, so that a reader sees one state or the other."""

    live: LiveModel | None = None
    refusal: Refusal | None = None
    variants: tuple[Variant, ...] = ()

    def answering(self, user_id: str) -> tuple[str, LiveModel | None]:
        """The variant's name and the model that answers a customer; None before the first model."""
        variant = chosen(user_id, self.variants) if self.variants else None
        if variant is None or variant.live is None:
            return MAIN, self.live
        return variant.name, variant.live

    def versions(self) -> set[str]:
        """Of every model that answers."""
        answering = (self.live, *(variant.live for variant in self.variants))
        return {live.model.version for live in answering if live is not None}


class ModelLoader:
    """Polls the pointer in a thread of its own: reading and building never hold up an answer.

    A version that answers already is kept, with its state. A refused one is not tried again until the pointer changes.
    Trouble with the store is no refusal: the poll is repeated and the live models stay.
    """

    def __init__(
        self,
        source: ModelSource,
        poll_s: float,
        on_change: Callable[[Serving], None],
        *,
        bring_up: Callable[[Model], LiveModel],
        let_go: Callable[[LiveModel], None] = lambda live: None,
        spare: int = 0,
    ) -> None:
        """All callbacks are called in the loader's thread.

        `on_change` after each swap or refusal; `bring_up` gives a verified model its live state, and returns when it
        should answer; `let_go` after a model has been replaced. `spare`: rows for products yet to be sold first.
        """
        self.serving = Serving()
        self._source = source
        self._poll_s = poll_s
        self._on_change = on_change
        self._bring_up = bring_up
        self._let_go = let_go
        self._spare = spare
        self._stop = threading.Event()
        self._pointer_seen: bytes | None = None
        self._up: dict[str, LiveModel] = {}  # by version: what answers, and what is about to
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
        try:
            pointer = _pointer(body)
        except InvalidModel as refused:
            self._publish(replace(self.serving, refusal=_refusal("", refused)))
            return
        live, refusal = self._answering(pointer.version)
        # The main model first, and at once: a trial must not keep it waiting.
        self._publish(replace(self.serving, live=live or self.serving.live, refusal=refusal))
        if pointer.variants or self.serving.variants:
            self._publish(replace(self.serving, variants=tuple(map(self._tried, pointer.variants))))
        self._let_others_go()

    def _tried(self, trial: model_pointer.Variant) -> Variant:
        return Variant(trial.name, trial.weight, trial.version, *self._answering(trial.version))

    def _answering(self, version: str) -> tuple[LiveModel | None, Refusal | None]:
        """The model of a version, loaded unless it answers already; or why it is refused."""
        try:
            if version not in self._up:
                self._up[version] = self._load(version)
        except InvalidModel as refused:
            return None, _refusal(version, refused)
        return self._up[version], None

    def _load(self, version: str) -> LiveModel:
        with RECOMMENDER_LOAD_SECONDS.time():
            model = load_model(
                self._source, folder_of(version).removesuffix("/"), version, self._stop.is_set, self._spare
            )
        if self._stop.is_set():
            raise InterruptedError(version)
        return self._bring_up(model)

    def _publish(self, serving: Serving) -> None:
        self.serving = serving
        _show(serving)
        self._on_change(serving)

    def _let_others_go(self) -> None:
        for version in self._up.keys() - self.serving.versions():
            log.info("model %s answers no more", version)
            self._let_go(self._up.pop(version))


def _pointer(body: bytes) -> Pointer:
    try:
        return msgspec.json.decode(body, type=Pointer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidModel(ModelFault.POINTER, f"current.json: {error}") from None


def _refusal(version: str, refused: InvalidModel) -> Refusal:
    RECOMMENDER_MODEL_REFUSALS.labels(refused.fault.value).inc()
    log.error("refused model %s: %s", version, refused)
    return Refusal(version, str(refused))


def _show(serving: Serving) -> None:
    RECOMMENDER_MODEL.clear()
    for name, live in ((MAIN, serving.live), *((variant.name, variant.live) for variant in serving.variants)):
        if live is not None:
            RECOMMENDER_MODEL.labels(live.model.version, name).set(1)
    if serving.live is not None:
        RECOMMENDER_MODEL_CREATED.set(serving.live.model.created_at_ms / 1000)
        log.info("serving model %s", serving.live.model.version)
    RECOMMENDER_MODEL_REFUSED.set(any((serving.refusal, *(variant.refusal for variant in serving.variants))))
