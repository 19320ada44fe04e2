"""The mailbox of docker-compose.yml: it shows what was delivered, and lets no mail steer the terminal."""

import asyncio
import smtplib
from collections.abc import AsyncIterator, Callable

import pytest
from docker_files import mailbox

MAILBOX = mailbox()
DEADLINE = 20.0


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Where it listens."""
    server = await asyncio.start_server(MAILBOX.serve, "127.0.0.1", 0, limit=MAILBOX.LINE_BYTES)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def talk(port: int, dialogue: Callable[[smtplib.SMTP], object]) -> None:
    """Speak SMTP in a thread, so that the mailbox can answer."""

    def speak() -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=DEADLINE) as client:
            dialogue(client)

    await asyncio.to_thread(speak)


def sending(mail: bytes) -> Callable[[smtplib.SMTP], object]:
    return lambda client: client.sendmail("ann@client.example", ["bob@demo.example", "eve@demo.example"], mail)


async def test_a_mail_is_printed_with_its_envelope(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    await talk(port, sending(b"Subject: hi\r\n\r\nhello\r\n.leading dot\r\n"))
    assert capsys.readouterr().out == (
        "==== mail from <ann@client.example> to <bob@demo.example>, <eve@demo.example>\n"
        "Subject: hi\n\nhello\n.leading dot\n==== end of mail\n"
    )


async def test_two_mails_of_one_client_do_not_mix(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    def dialogue(client: smtplib.SMTP) -> None:
        sending(b"Subject: one\r\n\r\n")(client)
        client.sendmail("", ["bob@demo.example"], b"Subject: two\r\n\r\n")

    await talk(port, dialogue)
    assert "==== mail from <> to <bob@demo.example>\nSubject: two\n" in capsys.readouterr().out


async def test_control_characters_do_not_reach_the_terminal(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    await talk(port, sending(b"Subject: \x1b]0;owned\x07 \xc2\x9b31m \xff\r\n\r\nred\x1b[31m\r\n"))
    shown = capsys.readouterr().out
    assert "Subject: \ufffd]0;owned\ufffd \ufffd31m \ufffd\n" in shown
    assert shown.isprintable() or {char for char in shown if not char.isprintable()} == {"\n"}


async def test_what_it_does_not_know_is_answered_and_the_session_goes_on(port: int) -> None:
    def dialogue(client: smtplib.SMTP) -> None:
        assert client.docmd("EXPN", "all")[0] == 500
        assert client.noop()[0] == 250
        assert client.rset()[0] == 250
        assert client.quit()[0] == 221

    await talk(port, dialogue)


async def test_a_mail_that_is_too_large_is_given_up(
    port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MAILBOX, "MAIL_BYTES", 1000)
    with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
        await talk(port, sending(b"Subject: big\r\n\r\n" + b"x" * 70 + b"\r\n" + b"y" * 2000 + b"\r\n"))
    shown = capsys.readouterr().out
    assert "a client is given up" in shown and "too large" in shown
    assert "==== mail" not in shown


async def test_a_client_that_leaves_within_a_mail_hands_over_nothing(
    port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"MAIL FROM:<a@client.example>\r\nRCPT TO:<b@demo.example>\r\nDATA\r\nSubject: half\r\n")
    writer.write_eof()
    async with asyncio.timeout(DEADLINE):
        await reader.read()
    writer.close()
    await writer.wait_closed()
    shown = capsys.readouterr().out
    assert "cut off" in shown and "==== mail" not in shown
