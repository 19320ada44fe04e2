"""An exchange as a command for curl. What comes from mail is quoted; secrets are named, never shown."""

import shlex

from gateway.recording.records import Exchange, Webhook, request_fields
from gateway.translate.text import is_text, to_base64


class NothingToSendError(LookupError):
    """The request was not kept."""


def curl(exchange: Exchange, webhook: Webhook | None, url: str | None = None) -> str:
    """The command. Raises NothingToSendError."""
    if exchange.request is None:
        raise NothingToSendError("the body of this request was not recorded ([admin] record), or it was too large")
    target = url or exchange.url or (webhook.urls[0].replace("{event}", exchange.event) if webhook else "URL")
    words = ["curl -sS --data-binary @-"]
    if webhook is not None and webhook.uds is not None:
        words.append(f"--unix-socket {shlex.quote(webhook.uds)}")
    words += [_field(name, value) for name, value in request_fields(exchange, webhook).items()]
    command = " \\\n  ".join([*words, shlex.quote(target)])
    return f"{_source(exchange.request)} {command}\n"


def _field(name: str, value: str) -> str:
    """A header field; a variable stays one, so that the shell puts the secret in."""
    if value.startswith("$"):
        return f'-H "{name}: {value}"'
    return f"-H {shlex.quote(f'{name}: {value}')}"


def _source(body: bytes) -> str:
    """What prints the body, byte for byte."""
    if is_text(body):
        return f"printf %s {shlex.quote(body.decode())} |"
    return f"printf %s {to_base64(body)} | base64 -d |"
