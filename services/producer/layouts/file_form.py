"""How a file of any container is opened where no mapping says it."""

from pathlib import Path

from services.producer.layouts.containers import Container, container_of, first_bytes
from services.producer.layouts.mapping import TextForm
from services.producer.layouts.text_form import SAMPLE_BYTES, text_form


def form_of(file: Path, encoding: str = "", delimiter: str = "") -> TextForm:
    """The form of a file of text, found out where it is not given; of any other container, a form that is not used.

    Raises BadFile.
    """
    if container_of(file) is not Container.TEXT:
        return TextForm()
    return text_form(first_bytes(file, SAMPLE_BYTES), encoding, delimiter)
