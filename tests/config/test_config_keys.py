"""Each key: what it becomes, what it is by default, and how a wrong value is refused."""

import base64
from ipaddress import ip_network
from pathlib import Path

import pytest
from config_texts import WEBHOOK, Load, Refuse

from gateway.config import ConfigError, HostPort, NetworkRule, Settings, TcpSpec, UnixSpec, parse
from gateway.contract.words import Action, Event, Op

KEY = base64.b64encode(b"k" * 32).decode()

EXAMPLE = """
listen  = ["inet:20025@127.0.0.1", "unix:/run/milter-gateway/gw.sock"]
socket_mode = "0660"
workers = 1
macros  = { connect = ["{client_ptr}"] }

[admin]
listen = "127.0.0.1:8025"
token_file = "admin"
record = false

[limits]
connections = 1000
peers = ["127.0.0.0/8", "::1"]
message_bytes = "50MiB"
memory_bytes = "512MiB"
spool_above = "1MiB"
recipients = 10000
headers = 10000
response_bytes = "64MiB"
context_bytes = "64KiB"
command_deadline = "9s"
end_of_message_deadline = "240s"
frame_timeout = "60s"
idle_timeout = "2h"
drain_timeout = "30s"

[[webhook]]
name = "policy"
url = "http://policy:8000/milter"
events = ["rcpt", "end_of_message"]
include = ["message.headers", "message.body"]
format = "json"
rejected_recipients = false
when = { authenticated = false, rcpt_domain = ["site.example"], client = ["!10.0.0.0/8"] }
timeout = "8s"
timeout_end_of_message = "120s"
retries = 2
on_failure = "tempfail"
on_invalid = "tempfail"
on_too_large = "tempfail"
allow = ["reject", "tempfail", "add_header"]
mode = "enforce"
secret_file = "policy"
headers = { authorization = { file = "bearer" } }
uds = "/run/policy.sock"
http2 = false
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Make the files that the example names, private ones."""
    for name, content in {"admin": "t0ken\n", "policy": f"whsec_{KEY}\n", "bearer": "Bearer abc\n"}.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    return tmp_path


def test_the_whole_example_loads(files: Path, load_text: Load) -> None:
    settings = load_text(EXAMPLE)
    (webhook,) = settings.webhook
    assert settings.listen == (TcpSpec("127.0.0.1", 20025), UnixSpec("/run/milter-gateway/gw.sock"))
    assert settings.macros == {"connect": ("{client_ptr}",)}
    assert settings.admin.token_file is not None
    assert settings.admin.token_file.text == "t0ken"
    assert webhook.events == (Event.RCPT, Event.END_OF_MESSAGE)
    assert webhook.when.client == (NetworkRule(ip_network("10.0.0.0/8"), negated=True),)
    assert [secret.value for secret in webhook.secret_file] == [b"k" * 32]
    assert webhook.headers["authorization"].value == "Bearer abc"
    assert webhook.headers["authorization"].origin == "file bearer"
    assert settings.warnings() == ()


def test_the_limits_of_the_example_are_the_defaults(files: Path, load_text: Load) -> None:
    assert load_text(EXAMPLE).limits == load_text(WEBHOOK).limits


def test_defaults(load_text: Load) -> None:
    settings = load_text(WEBHOOK)
    (webhook,) = settings.webhook
    assert settings.model_copy(update={"webhook": ()}) == Settings()
    assert settings.listen == (TcpSpec("127.0.0.1", 20025),)
    assert settings.socket_mode == 0o660
    assert settings.admin.listen == HostPort("127.0.0.1", 8025)
    assert (settings.limits.idle_timeout, settings.limits.spool_above) == (7200.0, 1 << 20)
    assert webhook.events == tuple(Event)
    assert webhook.include == {"message.headers", "message.body"}
    assert (webhook.timeout, webhook.timeout_end_of_message, webhook.retries) == (8.0, 120.0, 2)
    assert (webhook.failure_for("rcpt"), webhook.invalid_for("rcpt"), webhook.on_too_large) == ("tempfail",) * 3
    assert (webhook.allow, webhook.uds, webhook.proxy, webhook.http2) == (None, None, None, False)


def test_secrets_do_not_show(files: Path, load_text: Load) -> None:
    shown = repr(load_text(EXAMPLE))
    assert not [secret for secret in ("t0ken", "kkkk", "Bearer abc", KEY) if secret in shown]


def test_settings_do_not_change(load_text: Load) -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_text(WEBHOOK).workers = 2


def test_the_admin_api_can_be_off(load_text: Load) -> None:
    assert load_text('admin.listen = ""\n' + WEBHOOK).admin.listen is None


def test_a_policy_may_differ_by_event(load_text: Load) -> None:
    tables = 'on_failure = { rcpt = "continue", default = "reject" }\non_invalid = { data = "quarantine" }\n'
    (webhook,) = load_text(WEBHOOK + tables).webhook
    assert [webhook.failure_for(event) for event in (Event.RCPT, "data")] == ["continue", "reject"]
    assert [webhook.invalid_for(event) for event in (Event.RCPT, "data")] == ["tempfail", "quarantine"]


def test_continue_and_accept_are_always_allowed(load_text: Load) -> None:
    (webhook,) = load_text(WEBHOOK + 'allow = ["reject", "add_header"]').webhook
    words = (Action.CONTINUE, Action.ACCEPT, Action.REJECT, Action.TEMPFAIL, Op.ADD_HEADER, Op.QUARANTINE)
    assert [webhook.allows(word) for word in words] == [True, True, True, False, True, False]
    assert load_text(WEBHOOK).webhook[0].allows(Op.QUARANTINE)


def test_url_and_timeout_depend_on_the_event(load_text: Load) -> None:
    (webhook,) = load_text('[[webhook]]\nname = "a"\nurl = "https://[::1]:8000/{event}?e={event}"').webhook
    assert webhook.urls_for("rcpt") == ("https://[::1]:8000/rcpt?e=rcpt",)
    assert [webhook.timeout_for(event) for event in ("rcpt", "end_of_message")] == [8.0, 120.0]


def test_several_urls_are_alternatives(load_text: Load) -> None:
    (webhook,) = load_text('[[webhook]]\nname = "a"\nurl = ["http://a/{event}", "http://b/"]').webhook
    assert webhook.urls_for("rcpt") == ("http://a/rcpt", "http://b/")


def test_a_text_may_stand_for_a_list(load_text: Load) -> None:
    settings = load_text(
        'listen = "20026"\nmacros.helo = "j"\nlimits.peers = "10.0.0.0/8"\n'
        + WEBHOOK
        + 'events = "rcpt"\nallow = "reject"\ninclude = "message.body"\nwhen = { helo = "a", client = "192.0.2.1" }\n'
    )
    (webhook,) = settings.webhook
    assert settings.listen == (TcpSpec("127.0.0.1", 20026),)
    assert settings.macros == {"helo": ("j",)}
    assert settings.limits.peers == (ip_network("10.0.0.0/8"),)
    assert (webhook.events, webhook.allow, webhook.include) == ((Event.RCPT,), {"reject"}, {"message.body"})
    assert webhook.when.helo == ("a",)
    assert str((webhook.when.client or ())[0]) == "192.0.2.1/32"


def test_headers_come_from_text_file_and_environment(files: Path, load_text: Load) -> None:
    table = 'headers = { X-Plain = "a b", x-file = { file = "bearer" }, x-env = { env = "TOKEN" } }\n'
    headers = load_text(WEBHOOK + table, {"TOKEN": " secret "}).webhook[0].headers
    assert {name: (value.value, value.origin) for name, value in headers.items()} == {
        "x-plain": ("a b", None),
        "x-file": ("Bearer abc", "file bearer"),
        "x-env": ("secret", "env TOKEN"),
    }


def test_what_everybody_may_read_is_only_warned_of(files: Path, load_text: Load) -> None:
    for name in ("admin", "policy", "bearer"):
        (files / name).chmod(0o644)
    assert load_text(EXAMPLE).warnings() == tuple(
        f"{name} can be read by everyone: chmod o-r" for name in ("admin", "policy", "bearer")
    )


def test_a_short_signing_key_is_only_warned_of(files: Path, load_text: Load) -> None:
    (files / "policy").write_text("c2hvcnQ=")
    settings = load_text(WEBHOOK + 'secret_file = ["policy"]')
    assert settings.webhook[0].secret_file[0].value == b"short"
    assert settings.warnings() == ("policy holds a short secret: Standard Webhooks asks for 24 bytes or more",)


def test_tls_files_must_be_there(files: Path, load_text: Load) -> None:
    tls = '[[webhook]]\nname = "a"\nurl = "https://a/"\ntls = { cert_file = "admin", key_file = "bearer" }'
    (files / "bearer").chmod(0o644)
    settings = load_text(tls)
    assert settings.webhook[0].tls.cert_file == Path("admin")
    assert settings.warnings() == ("bearer can be read by everyone: chmod o-r",)


EVENTS = ", ".join(Event)
FAILURES = "tempfail, continue, reject, quarantine"
STAGES = "connect, helo, mail, rcpt, data, end_of_headers, end_of_message"
NOT_A_MACRO = "is not a macro name: one letter, or a longer name in braces"
MISSING = "cannot read nowhere: No such file or directory"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("listem = []", "listem: unknown key; did you mean listen?"),
        ("xyz = 1", "xyz: unknown key"),
        ('"a\\nb" = 1', r"'a\nb': unknown key"),
        ("listen = []", "listen: must not be empty"),
        ("listen = 5", "listen: must be a list"),
        ("listen = [true]", "listen[0]: must be a text in quotes"),
        ('listen = ["unix:/a", ""]', "listen[1]: must not be empty"),
        (
            'listen = ["nonsense"]',
            "listen[0]: 'nonsense' is not an address: write inet:PORT@HOST, inet:HOST:PORT, unix:PATH or a port",
        ),
        ('listen = ["1", "inet:127.0.0.1:1"]', "listen: inet:1@127.0.0.1 is given more than once"),
        ("socket_mode = 660", 'socket_mode: must be an octal file mode in quotes, as in "0660"'),
        ('socket_mode = "0888"', 'socket_mode: must be an octal file mode in quotes, as in "0660"'),
        ("workers = 257", "workers: must be at most 256"),
        ("workers = 0", "workers: must be at least 1"),
        ("workers = true", "workers: must be a whole number"),
        ("macros = 1", "macros: must be a table"),
        (
            "macros.conect = []",
            f"macros.conect: 'conect' is unknown: must be one of {STAGES}; did you mean connect?",
        ),
        (
            'macros.mail = ["auth_type"]',
            f"macros.mail[0]: 'auth_type' {NOT_A_MACRO}: write {{auth_type}}",
        ),
        (
            'macros.mail = ["{a b}"]',
            f"macros.mail[0]: '{{a b}}' {NOT_A_MACRO}",
        ),
        ("admin = 1", "admin: must be a table"),
        ('admin.listen = "x"', "admin.listen: 'x' is not HOST:PORT, as in 127.0.0.1:8025"),
        ("admin.listen = 8025", "admin.listen: must be a text in quotes"),
        (
            'admin.listen = "0.0.0.0:8025"',
            "admin.token_file: is required when the admin API listens beyond loopback (0.0.0.0:8025)",
        ),
        ('admin.token_file = "nowhere"', f"admin.token_file: {MISSING}"),
        ('admin.token_file = ""', "admin.token_file: must be the path of a file"),
        ('admin.token_file = "."', "admin.token_file: . is not a regular file"),
        ('admin.token_file = "empty"', "admin.token_file: empty is empty"),
        (
            'admin.token_file = "words"',
            "admin.token_file: words must hold one token of printable ASCII without blanks",
        ),
        ('admin.token_file = "huge"', "admin.token_file: huge is too large for a secret: more than 65536 bytes"),
        ("limits.conections = 1", "limits.conections: unknown key; did you mean connections?"),
        ("limits.connections = 0", "limits.connections: must be at least 1"),
        ('limits.recipients = "5"', "limits.recipients: must be a whole number"),
        ("limits.headers = 5.0", "limits.headers: must be a whole number"),
        ("limits.peers = []", "limits.peers: must not be empty"),
        (
            'limits.peers = ["!10.0.0.0/8"]',
            "limits.peers[0]: '!10.0.0.0/8' is not an IP address or a CIDR block, as in 10.0.0.0/8",
        ),
        (
            'listen = ["inet:1@0.0.0.0"]',
            "limits.peers: is required when listening beyond loopback (inet:1@0.0.0.0): who may connect",
        ),
        (
            "limits.message_bytes = 5",
            'limits.message_bytes: has no unit: write B, KiB, MiB or GiB after the number, as in "64KiB"',
        ),
        ('limits.memory_bytes = "0B"', "limits.memory_bytes: must be greater than zero"),
        (
            "limits.idle_timeout = 60",
            'limits.idle_timeout: has no unit: write ms, s, min or h after the number, as in "30s"',
        ),
        ('limits.frame_timeout = "0s"', "limits.frame_timeout: must be greater than zero"),
        (
            'limits.drain_timeout = "1m"',
            'limits.drain_timeout: must be a duration: a number and ms, s, min or h, as in "30s"',
        ),
    ],
)
def test_a_wrong_key_outside_of_webhooks_is_refused(tmp_path: Path, refuse: Refuse, line: str, fault: str) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "words").write_text("two words")
    (tmp_path / "huge").write_text("x" * 70000)
    assert refuse(f"{line}\n{WEBHOOK}") == [f"gw.toml:{fault}"]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("evnts = []", "evnts: unknown key; did you mean events?"),
        ("events = []", "events: must not be empty"),
        ('events = ["rctp"]', f"events[0]: 'rctp' is unknown: must be one of {EVENTS}; did you mean rcpt?"),
        ("events = [1]", f"events[0]: must be one of {EVENTS}"),
        (
            'events = ["outcome"]',
            'events[0]: "outcome" is the event of mode "observe", which is not supported yet',
        ),
        (
            'include = ["body"]',
            "include[0]: 'body' is unknown: must be one of message.headers, message.body, message.parsed",
        ),
        ('format = "xml"', "format: 'xml' is unknown: must be one of json, multipart"),
        ("rejected_recipients = 1", "rejected_recipients: must be true or false"),
        ("when = 1", "when: must be a table"),
        ("when.sender = 1", "when.sender: unknown key"),
        ("when.authenticated = 1", "when.authenticated: must be true or false"),
        ('when.tls = "yes"', "when.tls: must be true or false"),
        ("when.helo = []", "when.helo: must not be empty"),
        ('when.helo = ["!"]', 'when.helo[0]: "!" must be followed by what it excludes'),
        ('when.daemon = ""', "when.daemon: must not be empty"),
        (
            'when.client = ["!10.1.0.0/8"]',
            "when.client[0]: 10.1.0.0/8 has bits set beyond its prefix: write 10.0.0.0/8",
        ),
        (
            'when.client = "host.example"',
            "when.client: 'host.example' is not an IP address or a CIDR block, as in 10.0.0.0/8",
        ),
        ("timeout = 8", 'timeout: has no unit: write ms, s, min or h after the number, as in "30s"'),
        ('timeout_end_of_message = "0s"', "timeout_end_of_message: must be greater than zero"),
        ("retries = -1", "retries: must be at least 0"),
        ("retries = true", "retries: must be a whole number"),
        ('on_failure = "fail"', f"on_failure: 'fail' is unknown: must be one of {FAILURES}"),
        ("on_failure = 1", "on_failure: must be a text, or a table with an entry for each event"),
        ('on_invalid.rcpt = "drop"', f"on_invalid.rcpt: 'drop' is unknown: must be one of {FAILURES}"),
        (
            'on_invalid.rctp = "reject"',
            f"on_invalid.rctp: 'rctp' is unknown: must be one of default, {EVENTS}; did you mean rcpt?",
        ),
        (
            'on_too_large = "reject"',
            "on_too_large: 'reject' is unknown: must be one of tempfail, continue, truncate, headers",
        ),
        ("allow = 1", "allow: must be a list"),
        ('mode = "shadow"', 'mode: mode "shadow" is not supported yet'),
        ('mode = "observe"', 'mode: mode "observe" is not supported yet'),
        ('mode = "off"', "mode: 'off' is unknown: must be one of enforce, shadow, observe"),
        ('secret_file = "nowhere"', f"secret_file: {MISSING}"),
        ("secret_file = []", "secret_file: must not be empty"),
        (
            'secret_file = ["gw.toml"]',
            "secret_file[0]: gw.toml must hold a Standard Webhooks secret: whsec_ and base64",
        ),
        ('headers = "x"', "headers: must be a table"),
        ("headers.x = 1", 'headers.x: must be a text, { file = "PATH" } or { env = "NAME" }'),
        (
            'headers.x = { file = "gw.toml", env = "A" }',
            'headers.x: must be a text, { file = "PATH" } or { env = "NAME" }',
        ),
        ('headers.x = { file = "nowhere" }', f"headers.x: {MISSING}"),
        ('headers.x = { env = "NOPE" }', "headers.x: the environment variable 'NOPE' is not set"),
        ('headers.x = "a\\nb"', "headers.x: must be printable ASCII on one line"),
        ('headers."a b" = "x"', "headers.'a b': is not the name of an HTTP header"),
        ('headers.Webhook-Id = "x"', "headers.Webhook-Id: is set by the gateway itself"),
        ('headers = { A = "x", a = "y" }', "headers: 'a' is given more than once"),
        ('tls = { ca_file = "gw.toml" }', "tls: is of no use with an http:// url: write https://"),
        ("tls.ca = 1", "tls.ca: unknown key"),
        ('uds = ""', "uds: must not be empty"),
        ('proxy = "socks5://a:1"', 'proxy: must begin with "http://" or "https://"'),
        ('proxy = "http://a:1"\nuds = "/a"', "proxy: excludes uds: a backend is reached through one of them"),
        ('http2 = "yes"', "http2: must be true or false"),
    ],
)
def test_a_wrong_key_of_a_webhook_is_refused(refuse: Refuse, line: str, fault: str) -> None:
    found = refuse(f"{WEBHOOK}{line}\n")
    assert f"gw.toml:webhook[policy].{fault}" in found
    assert len(found) == 1 + line.startswith("tls.ca =")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("[]", "must name at least one URL"),
        ('["http://a/", "ftp://b/"]', 'number 2 of the list must begin with "http://" or "https://"'),
        ('["http://a/", 5]', "number 2 of the list must be a text in quotes"),
        ('["http://a/", "http://a/"]', "number 2 of the list is http://a/ again"),
        ("5", "must be a text in quotes"),
        ('""', "must not be empty"),
        ('"ftp://a/"', 'must begin with "http://" or "https://"'),
        ('"policy:8000"', 'must begin with "http://" or "https://"'),
        ('"http:///x"', "names no host"),
        ('"http://a_b!/x"', "names no host"),
        ('"http://a:99999/"', "is not a URL: its host or port is wrong"),
        ('"http://[::1/"', "is not a URL: its host or port is wrong"),
        ('"http://a/ b"', "must be printable ASCII without blanks"),
        ('"http://a/{events}"', "only the placeholder {event} is substituted, not '{events}'"),
        ('"http://a/{event"', "only the placeholder {event} is substituted, not '{event'"),
        ('"http://a/#x"', "must not have a #fragment: it is never sent"),
    ],
)
def test_a_wrong_url_is_refused(refuse: Refuse, url: str, reason: str) -> None:
    assert refuse(f'[[webhook]]\nname = "a"\nurl = {url}') == [f"gw.toml:webhook[a].url: {reason}"]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("", ["webhook: at least one is needed: a [[webhook]] table in the file, or --webhook URL"]),
        ("webhook = []", ["webhook: at least one is needed: a [[webhook]] table in the file, or --webhook URL"]),
        ("webhook = 1", ["webhook: must be a list"]),
        ("webhook = [1]", ["webhook[0]: must be a table"]),
        (
            '[webhook]\nname = "a"',
            ["webhook: must be written [[webhook]], with two brackets: there may be several"],
        ),
        ("[[webhook]]", ["webhook[0].name: is required", "webhook[0].url: is required"]),
        (
            '[[webhook]]\nname = "a b"\nurl = "http://a"',
            ["webhook[0].name: must be made of letters, digits, dot, hyphen and underscore, 64 at most"],
        ),
        (WEBHOOK + WEBHOOK, ["webhook[1].name: 'policy' is already the name of webhook[0]"]),
        (
            '[[webhook]]\nname = "a"\nurl = "https://a"\ntls.key_file = "gw.toml"',
            ["webhook[a].tls.key_file: needs cert_file beside it"],
        ),
    ],
)
def test_wrong_webhooks_are_refused(refuse: Refuse, text: str, faults: list[str]) -> None:
    assert refuse(text) == [f"gw.toml:{fault}" for fault in faults]


def test_an_unknown_permission_is_refused_with_a_guess(refuse: Refuse) -> None:
    (fault,) = refuse(WEBHOOK + 'allow = ["add_heder"]')
    assert fault.startswith("gw.toml:webhook[policy].allow[0]: 'add_heder' is unknown: must be one of continue, ")
    assert fault.endswith("; did you mean add_header?")


def test_a_port_may_be_a_number(load_text: Load) -> None:
    assert load_text("listen = [20026, 0, 0]\n" + WEBHOOK).listen == (
        TcpSpec("127.0.0.1", 20026),
        TcpSpec("127.0.0.1", 0),
        TcpSpec("127.0.0.1", 0),
    )


def test_a_path_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        parse({"admin": {"token_file": "\ud800"}}, webhook_required=False)
    assert str(caught.value) == "configuration:admin.token_file: must be the path of a file"
