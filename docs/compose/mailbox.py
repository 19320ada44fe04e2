"""Where the mail of docker-compose.yml ends: an SMTP server that prints what it is handed.

The standard library is all it needs. It listens on port 2500, takes everything and keeps nothing.
"""

import asyncio
import re
import signal
from asyncio import StreamReader, StreamWriter

PORT = 2500
LINE_BYTES = 64 * 1024
MAIL_BYTES = 16 * 1024 * 1024
SILENCE_SECONDS = 300

OK = "250 2.0.0 Ok"
REPLIES = {
    "EHLO": f"250-mailbox.demo.example\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE {MAIL_BYTES}",
    "HELO": "250 mailbox.demo.example",
    "MAIL": OK,
    "RCPT": OK,
    "DATA": "354 Go ahead",
    "RSET": OK,
    "NOOP": OK,
    "QUIT": "221 2.0.0 Bye",
}
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What a mail could steer the reader's terminal with."""


async def session(reader: StreamReader, writer: StreamWriter) -> None:
    """One client, until it leaves. Raises ValueError where it sends more than is good."""
    sender, recipients, verb = "", [], ""
    await say(writer, "220 mailbox.demo.example ESMTP")
    while verb != "QUIT" and (line := await within(reader.readline())):
        command = line.decode("utf-8", "replace")
        verb = command[:4].upper()
        if verb == "MAIL":
            sender, recipients = path_of(command), []
        elif verb == "RCPT":
            recipients.append(path_of(command))
        await say(writer, REPLIES.get(verb, "500 5.5.1 Unknown command"))
        if verb == "DATA":
            show(sender, recipients, await within(mail_of(reader)))
            await say(writer, OK)


async def within(step):
    """Wait for a step of the client, but not for ever."""
    async with asyncio.timeout(SILENCE_SECONDS):
        return await step


async def say(writer: StreamWriter, line: str) -> None:
    """Send a reply."""
    writer.write(f"{line}\r\n".encode())
    await within(writer.drain())


async def mail_of(reader: StreamReader) -> bytes:
    """The lines up to the lone dot (RFC 5321 section 4.5.2)."""
    mail = bytearray()
    while (line := await reader.readline()) != b".\r\n":
        mail += line.removeprefix(b".")
        if not line.endswith(b"\n") or len(mail) > MAIL_BYTES:
            raise ValueError("a mail was cut off, or is too large")
    return bytes(mail)


def path_of(command: str) -> str:
    """The address of MAIL FROM:<...> or RCPT TO:<...>."""
    found = re.search(r"<(.*?)>", command)
    return found[1] if found else ""


def show(sender: str, recipients: list[str], mail: bytes) -> None:
    """Print a mail; bytes that are no text show as U+FFFD."""
    to = ", ".join(f"<{each}>" for each in recipients)
    text = f"==== mail from <{sender}> to {to}\n{mail.decode('utf-8', 'replace')}==== end of mail"
    print(CONTROLS.sub("\ufffd", text.replace("\r\n", "\n")), flush=True)


async def serve(reader: StreamReader, writer: StreamWriter) -> None:
    """One client; what is wrong with it ends it alone."""
    try:
        await session(reader, writer)
    except (OSError, TimeoutError, ValueError) as error:
        print(f"a client is given up: {error!r}", flush=True)
    finally:
        writer.close()


async def main() -> None:
    """Serve until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with await asyncio.start_server(serve, "0.0.0.0", PORT, limit=LINE_BYTES):
        await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
