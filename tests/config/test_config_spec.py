import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import HostPort, ListenSpec, SpecError, TcpSpec, UnixSpec, parse_host_port, parse_spec

HOSTS = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[a-z][a-z0-9-]{0,8}[a-z]){0,2}", fullmatch=True),
)
PORTS = st.integers(0, 65535)


@pytest.mark.parametrize(
    ("text", "spec", "canonical"),
    [
        ("inet:20025@127.0.0.1", TcpSpec("127.0.0.1", 20025, "inet"), "inet:20025@127.0.0.1"),
        ("inet:127.0.0.1:20025", TcpSpec("127.0.0.1", 20025, "inet"), "inet:20025@127.0.0.1"),
        ("inet6:20025@[::1]", TcpSpec("::1", 20025, "inet6"), "inet6:20025@[::1]"),
        ("inet6:[::1]:20025", TcpSpec("::1", 20025, "inet6"), "inet6:20025@[::1]"),
        ("inet6:20025@::1", TcpSpec("::1", 20025, "inet6"), "inet6:20025@[::1]"),
        ("inet6:20025@[0:0::1]", TcpSpec("::1", 20025, "inet6"), "inet6:20025@[::1]"),
        ("inet:[::1]:20025", TcpSpec("::1", 20025, "inet6"), "inet6:20025@[::1]"),
        ("inet6:1@fe80::1%eth0", TcpSpec("fe80::1%eth0", 1, "inet6"), "inet6:1@[fe80::1%eth0]"),
        ("inet:20025@milter.example", TcpSpec("milter.example", 20025, "inet"), "inet:20025@milter.example"),
        ("inet6:20025@localhost", TcpSpec("localhost", 20025, "inet6"), "inet6:20025@localhost"),
        ("inet:20025", TcpSpec("127.0.0.1", 20025, "inet"), "inet:20025@127.0.0.1"),
        ("inet6:20025", TcpSpec("::1", 20025, "inet6"), "inet6:20025@[::1]"),
        ("20025", TcpSpec("127.0.0.1", 20025, "inet"), "inet:20025@127.0.0.1"),
        ("0", TcpSpec("127.0.0.1", 0, "inet"), "inet:0@127.0.0.1"),
        ("inet:0@127.0.0.1", TcpSpec("127.0.0.1", 0, "inet"), "inet:0@127.0.0.1"),
        ("unix:/run/gw.sock", UnixSpec("/run/gw.sock"), "unix:/run/gw.sock"),
        ("local:/run/gw.sock", UnixSpec("/run/gw.sock"), "unix:/run/gw.sock"),
        ("/run/gw.sock", UnixSpec("/run/gw.sock"), "unix:/run/gw.sock"),
        ("/run/a:b", UnixSpec("/run/a:b"), "unix:/run/a:b"),
    ],
)
def test_both_spellings_are_read_and_sendmails_is_written(text: str, spec: ListenSpec, canonical: str) -> None:
    assert parse_spec(text) == spec
    assert str(spec) == canonical
    assert parse_spec(canonical) == spec


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is not an address: write inet:PORT@HOST, inet:HOST:PORT, unix:PATH or a port"),
        ("inet", "'inet' is not an address: write inet:PORT@HOST, inet:HOST:PORT, unix:PATH or a port"),
        (
            "127.0.0.1:25",
            "'127.0.0.1:25' is not an address: write inet:PORT@HOST, inet:HOST:PORT, unix:PATH or a port",
        ),
        ("inet:", "the port is missing"),
        ("inet:@127.0.0.1", "the port is missing"),
        ("inet:127.0.0.1:", "the port is missing"),
        ("inet:20025@", "the host is missing"),
        ("inet::20025", "the host is missing"),
        ("inet:65536@127.0.0.1", "'65536' is not a port: a number from 0 to 65535"),
        ("inet:smtp@127.0.0.1", "'smtp' is not a port: a number from 0 to 65535"),
        ("70000", "'70000' is not a port: a number from 0 to 65535"),
        ("inet:1@300.0.0.1", "'300.0.0.1' is not an IP address"),
        ("inet6:1@[::1::2]", "'::1::2' is not an IP address"),
        ("inet6:1@127.0.0.1", "127.0.0.1 is an IPv4 address: write inet:PORT@127.0.0.1"),
        ("inet6:[127.0.0.1]:1", "'127.0.0.1' is not an IPv6 address: only those stand in brackets"),
        ("inet6:::1:20025", "'inet6:::1:20025' is ambiguous: put the IPv6 address in brackets, as in [::1]:20025"),
        ("inet:1@ho st", "'ho st' is not a host name or an IP address"),
        ("inet:1@-x", "'-x' is not a host name or an IP address"),
        ("unix:", "the path of the Unix socket is missing"),
        ("unix:/a\0b", "the path of a Unix socket cannot hold a NUL"),
        ("unix:/a\ud800b", "the path of the Unix socket is not UTF-8"),
        ("unix:/" + "x" * 107, "the path of a Unix socket has at most 107 bytes"),
    ],
)
def test_what_is_no_spec_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(SpecError) as error:
        parse_spec(text)
    assert str(error.value) == reason


@pytest.mark.parametrize(
    ("text", "value", "canonical"),
    [
        ("127.0.0.1:8025", HostPort("127.0.0.1", 8025), "127.0.0.1:8025"),
        ("[::1]:0", HostPort("::1", 0), "[::1]:0"),
        ("admin.example:80", HostPort("admin.example", 80), "admin.example:80"),
        ("8025", HostPort("127.0.0.1", 8025), "127.0.0.1:8025"),
    ],
)
def test_host_and_port(text: str, value: HostPort, canonical: str) -> None:
    assert parse_host_port(text) == value
    assert str(value) == canonical


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is not HOST:PORT, as in 127.0.0.1:8025"),
        ("host", "'host' is not HOST:PORT, as in 127.0.0.1:8025"),
        (":8025", "':8025' is not HOST:PORT, as in 127.0.0.1:8025"),
        ("host:", "the port is missing"),
        ("host:x", "'x' is not a port: a number from 0 to 65535"),
        ("::1:8025", "'::1:8025' is ambiguous: put the IPv6 address in brackets, as in [::1]:20025"),
        ("[]:1", "'' is not an IPv6 address: only those stand in brackets"),
    ],
)
def test_what_is_not_host_and_port_is_refused(text: str, reason: str) -> None:
    with pytest.raises(SpecError) as error:
        parse_host_port(text)
    assert str(error.value) == reason


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("LOCALHOST.", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("localhost.example", False),
    ],
)
def test_loopback_is_known_without_asking_the_dns(host: str, loopback: bool) -> None:
    assert TcpSpec(host, 1).loopback is loopback
    assert HostPort(host, 1).loopback is loopback


@given(HOSTS, PORTS)
def test_every_tcp_spec_is_read_back_from_its_text(host: str, port: int) -> None:
    spec = parse_spec(f"{'inet6' if ':' in host else 'inet'}:{port}@{host}")
    written = f"[{host}]" if ":" in host else host
    assert parse_spec(str(spec)) == spec
    assert parse_spec(f"inet:{written}:{port}") == spec
    assert parse_host_port(f"{written}:{port}") == HostPort(host, port)


@given(st.one_of(st.text(), st.from_regex(r"(inet6?|unix|local):[\[\]@:.0-9a-f%]*")))
def test_any_text_is_a_spec_or_a_reason(text: str) -> None:
    for parse in (parse_spec, parse_host_port):
        try:
            value = parse(text)
        except SpecError:
            continue
        assert parse(str(value)) == value
