"""Taking `multipart/form-data` apart (RFC 7578), byte for byte."""

from python_multipart import FormParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field, File, parse_options_header

from gateway.contract.response import InvalidAnswerError

FORM = "multipart/form-data"
_PARTS = ("response", "message")


class FormError(ValueError):
    """The bytes are no whole form."""


def form_parts(content_type: str, body: bytes) -> list[tuple[str, bytes]]:
    """Name and content of each part in order; a part with a file name and one without are the same here.

    Raises FormError.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise FormError(f"{FORM} without a boundary")
    parts: list[tuple[str, bytes]] = []
    ended: list[bool] = []

    def keep(name: bytes | None, value: bytes | None) -> None:
        parts.append(((name or b"").decode("utf-8", "replace"), value or b""))

    def on_file(file: File) -> None:
        file.file_object.seek(0)
        keep(file.field_name, file.file_object.read())
        file.close()

    def on_field(field: Field) -> None:
        keep(field.field_name, field.value)

    parser = FormParser(
        FORM,
        on_field,
        on_file,
        on_end=lambda: ended.append(True),
        boundary=boundary,
        config={"MAX_MEMORY_FILE_SIZE": len(body) + 1},
    )
    try:
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise FormError(f"{FORM}: {error}") from error
    finally:
        parser.close()
    if not ended:
        raise FormError(f"{FORM} without its closing boundary")
    return parts


def split_answer(content_type: str, body: bytes) -> tuple[bytes, bytes | None]:
    """The parts `response` (empty where it is absent) and `message` of an answer. Raises InvalidAnswerError."""
    try:
        parts = form_parts(content_type, body)
    except FormError as error:
        raise InvalidAnswerError(str(error)) from error
    names = [name for name, _ in parts]
    wrong = next((name for name in names if name not in _PARTS or names.count(name) > 1), None)
    if wrong is not None:
        raise InvalidAnswerError(f"the part {wrong!r} is unknown or comes twice; known are {' and '.join(_PARTS)}")
    found = dict(parts)
    return found.get("response", b""), found.get("message")
