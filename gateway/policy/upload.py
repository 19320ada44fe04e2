"""A multipart call that begins while the MTA still sends: its body goes to the backend as it arrives.

The message stands first in such a request and the event last, since the event tells what only the end of the message
shows. All bytes lie on disk as well, so that an attempt can be repeated, and so that a backend that reads slowly does
not hold up the MTA. Where anything becomes different from what was sent meanwhile (a change, a message over the
limits), or the backend ends the call early, the upload counts as nothing and the call is made in the usual way.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from gateway.mail.fields import Field, header_bytes
from gateway.policy.member import Member
from gateway.policy.rules import StoredBody
from gateway.policy.stamp import new_id
from gateway.translate.payload import MULTIPART, event_part, message_part, multipart_end
from gateway.translate.render import Shown
from gateway.webhook import Answer, Call, DeadlineExceeded

_LONGEST_SECONDS = 24 * 3600.0
"""Until the message is complete the MTA's own pace decides; it is bounded by idle_timeout."""


class Upload:
    """A call under way, for one webhook and one message."""

    def __init__(
        self,
        member: Member,
        session_id: str,
        fields: Sequence[Field],
        body: StoredBody,
        release: Callable[[int], None],
    ) -> None:
        self.member = member
        self._release = release
        self.call_id = new_id()
        self._boundary = f"gateway-{self.call_id}"
        self.content_type = MULTIPART.format(boundary=self._boundary)
        self._header = header_bytes(fields)
        self._body = body
        self._end: bytes | None = None
        webhook = member.webhook
        deadline = asyncio.get_running_loop().time() + _LONGEST_SECONDS
        call = Call(
            self.call_id,
            "end_of_message",
            session_id,
            self.content_type,
            self,
            deadline,
            patience=webhook.timeout_end_of_message_seconds,
        )
        self._task = asyncio.ensure_future(webhook.client.call(call))

    size = None
    """Not known before the message has ended (`StreamedBody.size`)."""

    async def chunks(self) -> AsyncIterator[bytes]:
        """The request from its beginning, as far as it has arrived, and then what comes (`StreamedBody.chunks`)."""
        yield message_part(self._boundary) + self._header
        async for piece in self._body.follow():
            yield piece
        if self._end is not None:
            yield self._end

    async def finish(self, shown: Shown, deadline: float) -> Answer | None:
        """The message is complete: send the event, and wait for the answer.

        None where what was sent is not what `shown` shows, or the backend has already ended the call.

        Raises:
            WebhookError: the call failed; it may have been repeated.

        """
        same = shown.body is self._body and header_bytes(shown.fields or ()) == self._header and not shown.truncated
        if not same or self._task.done():
            self.cancel()
            return None
        self._end = event_part(self._boundary, shown.request) + multipart_end(self._boundary)
        self._body.complete()
        try:
            async with asyncio.timeout_at(deadline):
                return await self._task
        except TimeoutError as error:
            raise DeadlineExceeded("timeout: the message was sent, but no whole answer came in time") from error

    def cancel(self) -> None:
        """Break the call off; what it has failed with meanwhile interests nobody."""
        self._task.cancel()
        self._task.add_done_callback(self._forget)

    def _forget(self, task: "asyncio.Future[Answer]") -> None:
        if not task.cancelled() and task.exception() is None:
            self._release(task.result().reserved)
