"""C: who connects."""

import pytest
from gateway_harness import CON, HEL, MAI, OK, Backend, P, gateway

CLIENTS = {
    "IPv6": (
        P(b"Cv6.test\0" + b"6" + b"\xc3\x50" + b"2001:db8::1\0"),
        {"name": "v6.test", "address": "2001:db8::1", "port": 50000, "family": "inet6"},
    ),
    "IPv6 as Sendmail writes it": (
        P(b"C[IPv6:0:0:0:0:0:0:0:1]\0" + b"6" + b"\x80\xb4" + b"IPv6:0:0:0:0:0:0:0:1\0"),
        {"name": "[IPv6:0:0:0:0:0:0:0:1]", "address": "::1", "port": 32948, "family": "inet6"},
    ),
    "unknown family": (
        P(b"Clocalhost\0U"),
        {"name": "localhost", "address": None, "port": None, "family": "unknown"},
    ),
    "unknown family with trailing bytes": (
        P(b"Clocalhost\0U\0\0x\0"),
        {"name": "localhost", "address": None, "port": None, "family": "unknown"},
    ),
    "unix socket": (
        P(b"Clocalhost\0L\0\0/run/s\0"),
        {"name": "localhost", "address": "/run/s", "port": None, "family": "unix"},
    ),
    "unix socket without a port": (
        P(b"Clocalhost\0L/run/s\0"),
        {"name": "localhost", "address": "/run/s", "port": None, "family": "unix"},
    ),
    "port not known": (
        P(b"C[192.0.2.1]\0" + b"4" + b"\0\0" + b"192.0.2.1\0"),
        {"name": "[192.0.2.1]", "address": "192.0.2.1", "port": None, "family": "inet"},
    ),
}
IDS = {
    "IPv6": ["C02"],
    "IPv6 as Sendmail writes it": ["C03"],
    "unknown family": ["C04"],
    "unknown family with trailing bytes": ["C04"],
    "unix socket": ["C05"],
    "unix socket without a port": ["C05"],
    "port not known": ["C07"],
}


async def connect_data(backend: Backend, packet: bytes) -> object:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.exchange(packet)
        return backend.only("connect")["data"]


@pytest.mark.conformance("C01")
async def test_an_ipv4_client_is_shown_with_name_address_and_port(backend: Backend) -> None:
    shown = await connect_data(backend, CON)
    assert shown == {"name": "mx.test", "address": "192.0.2.1", "port": 25, "family": "inet"}


@pytest.mark.parametrize("case", [pytest.param(name, marks=pytest.mark.conformance(*ids)) for name, ids in IDS.items()])
async def test_a_client_is_shown_in_the_plainest_spelling(backend: Backend, case: str) -> None:
    packet, expected = CLIENTS[case]
    assert await connect_data(backend, packet) == expected


@pytest.mark.conformance("C06")
@pytest.mark.parametrize(
    "packet",
    [
        P(b"Cx\0Z"),
        P(b"Cx\0"),
        P(b"Cx\0" + b"4" + b"\x00\x19" + b"999.1.1.1\0"),
        P(b"Cx\0" + b"4" + b"\x00\x19" + b"192.0.2.1"),
    ],
    ids=["unknown family", "no family", "no address", "no NUL"],
)
async def test_a_malformed_client_closes_the_connection(backend: Backend, packet: bytes) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.send(packet)
        await mta.expect_close()
        assert "connect" not in backend.events


@pytest.mark.conformance("C08")
async def test_a_second_helo_replaces_the_first(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.start()
        await mta.exchange(P(b"Hother.test\0"), MAI)
        assert backend.data("helo") == [{"name": "c.test"}, {"name": "other.test"}]
        assert backend.only("mail")["client"]["helo"] == "other.test"


@pytest.mark.conformance("C09")
async def test_without_helo_its_name_is_null(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.exchange(CON, MAI)
        assert backend.only("mail")["client"]["helo"] is None


@pytest.mark.conformance("C10")
@pytest.mark.parametrize("packet", [P(b"Hx"), P(b"H")], ids=["no NUL", "empty"])
async def test_a_malformed_helo_closes_the_connection(backend: Backend, packet: bytes) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.exchange(CON)
        await mta.send(packet)
        await mta.expect_close()


async def test_a_client_name_that_is_not_utf8_keeps_its_bytes(backend: Backend) -> None:
    shown = await connect_data(backend, P(b"C\xff\0U"))
    assert shown == {"name": "\ufffd", "name_base64": "/w==", "address": None, "port": None, "family": "unknown"}


async def test_a_client_without_a_name_is_let_in(backend: Backend) -> None:
    async with gateway(backend) as gw, gw.peer() as mta:
        await mta.negotiate()
        await mta.send(P(b"C\0" + b"4" + b"\x00\x19" + b"192.0.2.1\0"))
        await mta.expect(OK)
        await mta.exchange(HEL)
