"""Polls the pointer, builds the models it names while the present ones answer, then swaps one reference."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

import msgspec

from recsys.model import Model, load_model
from recsys.model_format import InvalidModel, ModelFault, ModelSource
from services.common.metrics import (
    RECOMMENDER_LOAD_SECONDS,
    RECOMMENDER_MODEL,
    RECOMMENDER_MODEL_CREATED,
    RECOMMENDER_MODEL_REFUSALS,
    RECOMMENDER_MODEL_REFUSED,
    RECOMMENDER_POLL_FAILURES,
)
from services.common.model_pointer import MAIN, Pointer, Variant
from services.common.model_registry import POINTER, folder_of
from services.common.storage_errors import NoSuchObject
from services.recommender.serving import Refusal, ServedVariant, Serving, ServingModel

logger = logging.getLogger(__name__)


class ModelLoader:
    """Polls the pointer in a thread of its own: reading and building never delay an answer.

    A version that answers already is kept, with its state. A refused one is tried again only when the pointer changes.
    An unavailable store is no refusal: the poll is repeated, and the serving models stay.
    """

    def __init__(
        self,
        source: ModelSource,
        poll_s: float,
        on_change: Callable[[Serving], None],
        *,
        attach_state: Callable[[Model], ServingModel],
        detach_state: Callable[[ServingModel], None] = lambda served: None,
        spare: int = 0,
    ) -> None:
        """All callbacks are called in the loader's thread.

        `on_change` after each swap or refusal; `attach_state` gives a verified model its live state, and returns when
        it should answer; `detach_state` after a model was replaced. `spare`: rows for products new to the model.
        """
        self.serving = Serving()
        self._source = source
        self._poll_s = poll_s
        self._on_change = on_change
        self._attach_state = attach_state
        self._detach_state = detach_state
        self._spare = spare
        self._stop = threading.Event()
        self._pointer_seen: bytes | None = None
        self._loaded: dict[str, ServingModel] = {}  # by version: what answers, and what is about to
        # A daemon: a download that hangs must not delay the end of the process.
        self._thread = threading.Thread(target=self._run, name="model-loader", daemon=True)

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def close(self) -> None:
        """Stop polling; a load in progress is abandoned at its next file."""
        self._stop.set()

    def poll(self) -> None:
        """Read the pointer once and apply a change. Raises what the store raises."""
        body = self._read_pointer()
        if body is None or body == self._pointer_seen:
            return
        self._apply(body)
        self._pointer_seen = body

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.poll()
            except InterruptedError:
                return
            except Exception as error:
                # The thread must survive every error: nothing else would ever load a model.
                RECOMMENDER_POLL_FAILURES.inc()
                logger.warning("cannot read the current model, will retry: %s", error)
            self._stop.wait(self._poll_s)

    def _read_pointer(self) -> bytes | None:
        try:
            return self._source.get(POINTER)
        except NoSuchObject:
            return None

    def _apply(self, body: bytes) -> None:
        try:
            pointer = _pointer(body)
        except InvalidModel as refused:
            self._publish(replace(self.serving, refusal=_refusal("", refused)))
            return
        main, refusal = self._serving_model(pointer.version)
        # The main model first, and at once: a variant must not delay it.
        self._publish(replace(self.serving, main=main or self.serving.main, refusal=refusal))
        if pointer.variants or self.serving.variants:
            self._publish(replace(self.serving, variants=tuple(map(self._load_variant, pointer.variants))))
        self._unload_others()

    def _load_variant(self, ref: Variant) -> ServedVariant:
        return ServedVariant(ref.name, ref.weight, ref.version, *self._serving_model(ref.version))

    def _serving_model(self, version: str) -> tuple[ServingModel | None, Refusal | None]:
        """The model of a version, loaded unless it answers already; or why it is refused."""
        try:
            if version not in self._loaded:
                self._loaded[version] = self._load(version)
        except InvalidModel as refused:
            return None, _refusal(version, refused)
        return self._loaded[version], None

    def _load(self, version: str) -> ServingModel:
        with RECOMMENDER_LOAD_SECONDS.time():
            model = load_model(
                self._source, folder_of(version).removesuffix("/"), version, self._stop.is_set, self._spare
            )
        if self._stop.is_set():
            raise InterruptedError(version)
        return self._attach_state(model)

    def _publish(self, serving: Serving) -> None:
        self.serving = serving
        _report(serving)
        self._on_change(serving)

    def _unload_others(self) -> None:
        for version in self._loaded.keys() - self.serving.versions():
            logger.info("model %s unloaded", version, extra={"model": version})
            self._detach_state(self._loaded.pop(version))


def _pointer(body: bytes) -> Pointer:
    try:
        return msgspec.json.decode(body, type=Pointer)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidModel(ModelFault.POINTER, f"current.json: {error}") from None


def _refusal(version: str, refused: InvalidModel) -> Refusal:
    RECOMMENDER_MODEL_REFUSALS.labels(refused.fault.value).inc()
    logger.error("refused model %s: %s", version, refused, extra={"model": version, "fault": refused.fault.value})
    return Refusal(version, str(refused))


def _report(serving: Serving) -> None:
    RECOMMENDER_MODEL.clear()
    for name, served in ((MAIN, serving.main), *((variant.name, variant.served) for variant in serving.variants)):
        if served is not None:
            RECOMMENDER_MODEL.labels(served.model.version, name).set(1)
    if serving.main is not None:
        RECOMMENDER_MODEL_CREATED.set(serving.main.model.created_at_ms / 1000)
        version = serving.main.model.version
        logger.info("serving model %s", version, extra={"model": version})
    RECOMMENDER_MODEL_REFUSED.set(any((serving.refusal, *(variant.refusal for variant in serving.variants))))
