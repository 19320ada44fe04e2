"""Layers, precedence, the environment, flags, and all faults in one go."""

import json
from ipaddress import ip_network
from pathlib import Path

import pytest
from config_texts import WEBHOOK, Load, Refuse
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import ConfigError, Fault, Flags, HostPort, TcpSpec, UnixSpec, load, parse
from gateway.contract.words import Event

NO_ADDRESS = "'x' is not an address: write inet:PORT@HOST, inet:HOST:PORT, unix:PATH or a port"
NEEDED = "webhook: at least one is needed: a [[webhook]] table in the file, or --webhook URL"


def test_a_webhook_flag_is_enough() -> None:
    settings = load(None, environ={}, flags=Flags(webhook="http://localhost:8000/{event}", events=("rcpt",)))
    assert [(hook.name, hook.events) for hook in settings.webhook] == [("webhook", (Event.RCPT,))]


def test_nothing_at_all_lacks_a_webhook_unless_none_is_required() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, environ={})
    assert caught.value.faults == (Fault("configuration", *NEEDED.split(": ", 1)),)
    assert load(None, environ={}, webhook_required=False).webhook == ()
    assert parse({}, webhook_required=False).webhook == ()


def test_later_wins_key_by_key(load_text: Load) -> None:
    text = 'listen = ["1"]\n[admin]\nlisten = "127.0.0.1:1"\n[limits]\nconnections = 1\nheaders = 1\n' + WEBHOOK
    environ = {
        "MILTER_GATEWAY_LISTEN": "2",
        "MILTER_GATEWAY_ADMIN__LISTEN": "127.0.0.1:2",
        "MILTER_GATEWAY_LIMITS__CONNECTIONS": "2",
    }
    settings = load_text(text, environ, listen=("3", "unix:/x"))
    assert settings.listen == (TcpSpec("127.0.0.1", 3), UnixSpec("/x"))
    assert settings.admin.listen == HostPort("127.0.0.1", 2)
    assert (settings.limits.connections, settings.limits.headers, settings.limits.recipients) == (2, 1, 10000)
    assert settings.webhook[0].name == "policy"


def test_the_webhook_flag_replaces_all_webhooks(load_text: Load) -> None:
    settings = load_text(WEBHOOK + "retries = 9\n", webhook="http://a/", admin="", workers=1)
    assert [(hook.name, hook.url, hook.retries) for hook in settings.webhook] == [("webhook", ("http://a/",), 2)]
    assert settings.admin.listen is None


def test_every_kind_of_value_comes_from_the_environment(load_text: Load) -> None:
    webhook = {"name": "env", "url": "http://a/", "timeout": "1s"}
    settings = load_text(
        "",
        {
            "MILTER_GATEWAY_LISTEN": "inet:1@0.0.0.0, unix:/run/gw.sock",
            "MILTER_GATEWAY_SOCKET_MODE": "0600",
            "MILTER_GATEWAY_WORKERS": "1",
            "MILTER_GATEWAY_MACROS__CONNECT": '["{client_ptr}", "j"]',
            "MILTER_GATEWAY_MACROS__HELO": "{tls_version},j",
            "MILTER_GATEWAY_ADMIN__LISTEN": "",
            "MILTER_GATEWAY_ADMIN__RECORD": "False",
            "MILTER_GATEWAY_LIMITS": '{"headers": 7, "recipients": 8}',
            "MILTER_GATEWAY_LIMITS__RECIPIENTS": "9",
            "MILTER_GATEWAY_LIMITS__PEERS": "10.0.0.0/8,::1",
            "MILTER_GATEWAY_LIMITS__MESSAGE_BYTES": "1GiB",
            "MILTER_GATEWAY_LIMITS__IDLE_TIMEOUT": "5min",
            "MILTER_GATEWAY_WEBHOOK": json.dumps([webhook]),
            "HOME": "/",
        },
    )
    assert settings.listen == (TcpSpec("0.0.0.0", 1), UnixSpec("/run/gw.sock"))
    assert settings.socket_mode == 0o600
    assert settings.macros == {"connect": ("{client_ptr}", "j"), "helo": ("{tls_version}", "j")}
    assert settings.admin.listen is None
    assert (settings.limits.headers, settings.limits.recipients) == (7, 9)
    assert settings.limits.peers == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert (settings.limits.message_bytes, settings.limits.idle_timeout) == (1 << 30, 300.0)
    assert (settings.webhook[0].name, settings.webhook[0].timeout) == ("env", 1.0)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("LIMITS__CONECTIONS", "5", "limits.conections: unknown key; did you mean connections?"),
        ("LIMIT__HEADERS", "5", "limit: unknown key; did you mean limits?"),
        ("LISTENS", "5", "listens: unknown key; did you mean listen?"),
        ("", "5", "'': unknown key"),
        ("LIMITS__HEADERS", "many", "limits.headers: must be a whole number"),
        ("LIMITS__HEADERS", "", "limits.headers: must be a whole number"),
        ("LIMITS__HEADERS__X", "1", "limits.headers: must be a whole number"),
        ("LISTEN", "", "listen: must not be empty"),
        ("LISTEN", "[1,", "listen: is not valid JSON"),
        ("LISTEN__0", "20025", "listen.0: a list is given as a whole, in MILTER_GATEWAY_LISTEN"),
        ("LIMITS", "5", "limits: must be a table"),
        ("LIMITS", "x", "limits: is not valid JSON"),
        ("WEBHOOK", "http://a/", "webhook: is not valid JSON"),
        ("WEBHOOK", '[{"name": "a"}]', "webhook[a].url: is required"),
        ("WEBHOOK__0__URL", "x", "webhook.0.url: a list is given as a whole, in MILTER_GATEWAY_WEBHOOK"),
        (
            "LIMITS__IDLE_TIMEOUT",
            "5",
            'limits.idle_timeout: has no unit: write ms, s, min or h after the number, as in "30s"',
        ),
        ("SOCKET_MODE", "rw", 'socket_mode: must be an octal file mode in quotes, as in "0660"'),
        ("WORKERS", "0", "workers: must be at least 1"),
    ],
)
def test_a_wrong_variable_is_refused(refuse: Refuse, name: str, value: str, fault: str) -> None:
    assert refuse(WEBHOOK, {f"MILTER_GATEWAY_{name}": value}) == [f"environment:{fault}"]


def test_a_broken_webhook_variable_is_one_fault() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, environ={"MILTER_GATEWAY_WEBHOOK": "{"})
    assert str(caught.value) == "environment:webhook: is not valid JSON"


def test_the_variables_of_a_kubernetes_service_of_our_name_are_passed_over(load_text: Load) -> None:
    names = ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_MILTER", "PORT", "PORT_20025_TCP", "PORT_20025_TCP_ADDR")
    assert load_text(WEBHOOK, {f"MILTER_GATEWAY_{name}": "tcp://10.0.0.1:1" for name in names})


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text(WEBHOOK)
    assert load(None, environ={"MILTER_GATEWAY_CONFIG": str(file)}).webhook[0].name == "policy"


@pytest.mark.parametrize(
    ("flags", "faults"),
    [
        (
            {"listen": ("1", "x")},
            [f"flag --listen:listen[1]: {NO_ADDRESS}"],
        ),
        ({"webhook": "ftp://a"}, ['flag --webhook:webhook[webhook].url: must begin with "http://" or "https://"']),
        ({"webhook": ""}, ["flag --webhook:webhook[webhook].url: must not be empty"]),
        ({"admin": "x"}, ["flag --admin:admin.listen: 'x' is not HOST:PORT, as in 127.0.0.1:8025"]),
        ({"workers": 0}, ["flag --workers:workers: must be at least 1"]),
        ({"events": ("rcpt",)}, ["flag --events: needs --webhook beside it"]),
        ({"log_format": "xml"}, ["flag --log-format: 'xml' is unknown: must be one of json, text"]),
        (
            {"listen": ("inet:1@192.0.2.1",)},
            ["gw.toml:limits.peers: is required when listening beyond loopback (inet:1@192.0.2.1): who may connect"],
        ),
    ],
)
def test_a_wrong_flag_is_refused(refuse: Refuse, flags: dict[str, object], faults: list[str]) -> None:
    assert refuse(WEBHOOK, **flags) == faults


def test_a_wrong_event_is_the_events_flags_fault(refuse: Refuse) -> None:
    (fault,) = refuse("", webhook="http://a/", events=("rcpt", "rctp"))
    assert fault.startswith("flag --events:webhook[webhook].events[1]: 'rctp' is unknown")


def test_all_faults_come_in_one_go(refuse: Refuse) -> None:
    text = (
        'listen = ["inet:1@0.0.0.0", "x"]\nworkers = 0\nadmin.listen = "0.0.0.0:1"\nlimits.headers = 0\n'
        + WEBHOOK
        + 'retries = -1\nuds = "/a"\nproxy = "http://p"\n'
        + "[[webhook]]\n"
    )
    environ = {"MILTER_GATEWAY_LIMITS__RECIPIENTS": "x", "MILTER_GATEWAY_LIMITS__PEER": "10.0.0.0/8"}
    assert sorted(refuse(text, environ, log_format="x")) == sorted(
        [
            "flag --log-format: 'x' is unknown: must be one of json, text",
            f"gw.toml:listen[1]: {NO_ADDRESS}",
            "gw.toml:workers: must be at least 1",
            "gw.toml:limits.headers: must be at least 1",
            "environment:limits.recipients: must be a whole number",
            "environment:limits.peer: unknown key; did you mean peers?",
            "gw.toml:webhook[policy].retries: must be at least 0",
            "gw.toml:webhook[1].name: is required",
            "gw.toml:webhook[1].url: is required",
            "gw.toml:limits.peers: is required when listening beyond loopback (inet:1@0.0.0.0): who may connect",
            "gw.toml:admin.token_file: is required when the admin API listens beyond loopback (0.0.0.0:1)",
            "gw.toml:webhook[policy].proxy: excludes uds: a backend is reached through one of them",
        ]
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a = ", "is not valid TOML: Invalid value (at end of document)"),
        (b"[a]\n[a]\n", "is not valid TOML: Cannot declare ('a',) twice (at line 2, column 3)"),
        (b"a = '\xff'", "is not valid TOML: it is not UTF-8"),
    ],
)
def test_what_is_not_toml_is_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    file = tmp_path / "gw.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(file, environ={})
    assert str(caught.value) == f"{file}: {reason}"


def test_deep_nesting_is_a_fault_and_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "gw.toml"
    file.write_text("a = " + "[" * 100_000)
    with pytest.raises(ConfigError) as caught:
        load(file, environ={})
    assert str(caught.value).startswith(f"{file}: is not valid TOML: ")


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    for file, reason in (
        (tmp_path / "none", "cannot be read: No such file or directory"),
        (tmp_path, "cannot be read: Is a directory"),
        (Path("/dev/null"), "is not a regular file"),
    ):
        with pytest.raises(ConfigError) as caught:
            load(file, environ={})
        assert str(caught.value) == f"{file}: {reason}"


def test_a_fault_is_always_one_printable_line() -> None:
    assert str(Fault("a\nb", "k", "r\ud800\x1b")) == "a\\nb:k: r\\ud800\\x1b"


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["name", "url", "when", "client", "tls", "headers", "on_failure", "rcpt", "x"]),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(["listen", "socket_mode", "workers", "macros", "admin", "limits", "webhook", "other"])


@given(st.dictionaries(KEYS, JSON, max_size=4))
def test_no_value_whatever_ends_in_a_traceback(values: dict[str, object]) -> None:
    try:
        parse(values)
    except ConfigError as error:
        assert error.faults
        assert all("\n" not in str(fault) and "Input should" not in str(fault) for fault in error.faults)


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=3))
def test_no_variable_whatever_ends_in_a_traceback(variables: dict[str, str]) -> None:
    try:
        load(None, environ={f"MILTER_GATEWAY_{name}": value for name, value in variables.items() if name != "CONFIG"})
    except ConfigError as error:
        assert error.faults
