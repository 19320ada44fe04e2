"""How a raw message becomes what an MTA hands over."""

import pytest

from gateway.mta.mail import Mail, braced, octets, spelled, split, split_as_queued


@pytest.mark.parametrize(
    ("raw", "fields", "body"),
    [
        (b"", [], b""),
        (b"A: b\r\n\r\nbody\r\n", [(b"A", b" b")], b"body\r\n"),
        (b"A: b\n\nbody", [(b"A", b" b")], b"body\r\n"),
        (b"A:b\n", [(b"A", b"b")], b""),
        (b"A: b\n c\n\td\n\n", [(b"A", b" b\n c\n\td")], b""),
        (b"A : b\n\n", [(b"A", b" b")], b""),
        (b"A: b\nno field\nB: c\n", [(b"A", b" b")], b"no field\r\nB: c\r\n"),
        (b"\r\nonly a body\r\n", [], b"only a body\r\n"),
        (b" begins with a blank\n", [], b" begins with a blank\r\n"),
        (b"A: \xff\r\n\r\n\xfe\r\n", [(b"A", b" \xff")], b"\xfe\r\n"),
        (b"A: b\n\n\n\n", [(b"A", b" b")], b"\r\n\r\n"),
    ],
)
def test_a_message_is_taken_apart_as_mtas_do(raw: bytes, fields: list[tuple[bytes, bytes]], body: bytes) -> None:
    assert split(raw) == (fields, body)


@pytest.mark.parametrize(
    ("raw", "fields", "body"),
    [
        (b"", [], b""),
        (b"A: b\n\nbody", [(b"A", b" b")], b"body\r\n"),
        (b"From a@b Mon\nA: b\n\n", [(b"X-Mailbox-Line", b" From a@b Mon"), (b"A", b" b")], b""),
        (b">From a@b\nA: b\n\n", [(b"X-Mailbox-Line", b" >From a@b"), (b"A", b" b")], b""),
        (b"A: b\rc\r\r\n\r\nd\re\r\r\n", [(b"A", b" b c")], b"d e\r\n"),
        (b"BCC: x@y\n z@y\nA: b\nReturn-Path: <>\nContent-Length: 5\n\n", [(b"A", b" b")], b""),
    ],
)
def test_what_a_client_sends_reaches_the_queue_as_postfix_has_it(
    raw: bytes, fields: list[tuple[bytes, bytes]], body: bytes
) -> None:
    assert split_as_queued(raw) == (fields, body)


def test_a_message_that_is_kept_is_taken_apart_as_it_is() -> None:
    raw = b"Bcc: x@y\r\nReturn-Path: <>\r\n\r\na\rb\r\n"
    assert split(raw) == ([(b"Bcc", b" x@y"), (b"Return-Path", b" <>")], b"a\rb\r\n")


def test_a_header_of_very_many_folds_is_read_in_no_time() -> None:
    fields, _ = split(b"A: b\n" + b" c\n" * 100_000 + b"\n")
    assert len(fields[0][1]) == len(b" b") + 100_000 * len(b"\n c")


def test_addresses_are_spelled_with_one_pair_of_brackets() -> None:
    assert (spelled("a@b"), spelled("<a@b>"), spelled("")) == (b"<a@b>", b"<a@b>", b"<>")


def test_bytes_of_a_command_line_that_are_not_utf8_survive() -> None:
    assert octets("\udce9") == b"\xe9"


@pytest.mark.parametrize(("name", "spelled_name"), [("i", "i"), ("{i}", "i"), ("abc", "{abc}"), ("{abc}", "{abc}")])
def test_macros_of_one_letter_are_bare_and_longer_ones_in_braces(name: str, spelled_name: str) -> None:
    assert braced(name) == spelled_name


@pytest.mark.parametrize(
    ("client", "family", "address", "name"),
    [
        ("127.0.0.1", b"4", b"127.0.0.1", b"localhost"),
        ("192.0.2.1", b"4", b"192.0.2.1", b"[192.0.2.1]"),
        ("[2001:db8::1]", b"6", b"2001:db8::1", b"[2001:db8::1]"),
        ("IPv6:2001:DB8::1", b"6", b"2001:db8::1", b"[2001:db8::1]"),
    ],
)
def test_the_client_is_an_address_of_either_family(client: str, family: bytes, address: bytes, name: bytes) -> None:
    connect = Mail(b"", client=client).connect()
    assert (connect.family, connect.address, connect.hostname) == (family, address, name)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"client": "mail.example"}, "the client 'mail.example' is no IP address"),
        ({"sender": "a\0b"}, "the sender contains CR, LF or NUL"),
        ({"recipients": ("ok@x", "a\r\nRCPT TO:<b@x>")}, "the recipient .* contains CR, LF or NUL"),
        ({"helo": "a\n"}, "the HELO name contains CR, LF or NUL"),
        ({"macros": {"j": "a\0"}}, "the macro j contains CR, LF or NUL"),
    ],
)
def test_what_smtp_cannot_carry_is_refused_by_name(wrong: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Mail(b"", **wrong)  # type: ignore[arg-type]
