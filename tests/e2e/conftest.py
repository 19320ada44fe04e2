"""One Postfix and one Sendmail for the whole run, both with the same milter address.

A mail server dials the milter anew for every SMTP session, so each test starts its own milter on ``milter_spec``,
and ends it. Tests that share the mail servers cannot run in parallel.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest
from published import MAX_BYTES, check_request

from .backend import Backend
from .mta import Mta
from .postfix import Postfix
from .program import Gateway
from .sendmail import Sendmail
from .sink import Sink
from .smtp_client import SmtpClient
from .support import HOST, free_port

HERE = Path(__file__).parent
MTAS = ("postfix", "sendmail")
OUTCOMES = {"passed": "ok", "skipped": "skip", "failed": "FAIL", "error": "FAIL"}
WORST_LAST = ("-", "ok", "skip", "FAIL")


@pytest.fixture(scope="session")
def milter_port() -> int:
    """The port on 127.0.0.1 where both mail servers look for the milter."""
    return free_port()


@pytest.fixture(scope="session")
def milter_spec(milter_port: int) -> str:
    """The same in Sendmail's spelling, as ``--listen`` takes it."""
    return f"inet:{milter_port}@{HOST}"


@pytest.fixture(scope="session")
def sink_of_session() -> Iterator[Sink]:
    """Where both mail servers deliver everything; tests take ``sink``."""
    sink = Sink()
    yield sink
    sink.stop()


@pytest.fixture
def sink(sink_of_session: Sink) -> Sink:
    """The sink, emptied. Late mail of an earlier test may still come: look for a subject of your own."""
    sink_of_session.clear()
    return sink_of_session


@pytest.fixture(scope="session")
def postfix(milter_spec: str, sink_of_session: Sink) -> Iterator[Postfix]:
    """Postfix, running."""
    postfix = Postfix()
    postfix.start(milter_spec, free_port(), sink_of_session.port)
    yield postfix
    postfix.stop()


@pytest.fixture(scope="session")
def sendmail(milter_spec: str, sink_of_session: Sink) -> Iterator[Sendmail]:
    """Sendmail, running."""
    sendmail = Sendmail()
    sendmail.start(milter_spec, free_port(), sink_of_session.port)
    yield sendmail
    sendmail.stop()


@pytest.fixture(params=MTAS)
def mta(request: pytest.FixtureRequest) -> Mta:
    """Each mail server in turn."""
    running: Mta = request.getfixturevalue(request.param)
    return running


@pytest.fixture
def connect() -> Iterator[Callable[[Mta], SmtpClient]]:
    """``connect(mta)`` opens an SMTP session that has said EHLO; it is closed with the test."""
    clients: list[SmtpClient] = []

    def opened(mta: Mta) -> SmtpClient:
        client = mta.connect()
        clients.append(client)
        client.ehlo()
        return client

    yield opened
    for client in clients:
        client.close()


@pytest.fixture
def subject() -> str:
    """A subject that no other test has, to know a message by."""
    return uuid4().hex


@pytest.fixture(scope="session")
def backend_of_session() -> Iterator[Backend]:
    """The webhook backend; tests take ``backend``."""
    backend = Backend()
    yield backend
    backend.stop()


@pytest.fixture
def backend(backend_of_session: Backend) -> Iterator[Backend]:
    """The webhook backend, with nothing told yet; earlier sessions do not show. What it was sent is as published."""
    backend_of_session.forget()
    yield backend_of_session
    for call in backend_of_session.calls():
        if len(call.body) <= MAX_BYTES:
            check_request(call.json)


class Gateways:
    """Runs the program; one gateway at a time, as all listen where the mail servers look for it."""

    def __init__(self, spec: str, url: str, directory: Callable[[], Path]) -> None:
        self._spec = spec
        self._url = url
        self._directory = directory
        self._running: Gateway | None = None

    def __call__(self, *webhooks: Mapping[str, object], fresh: bool = False, **settings: object) -> Gateway:
        """A gateway that runs: the last one if it has the same configuration and nothing ``fresh`` is asked for.

        Without ``webhooks`` one gets every event. Each has a name and a URL at ``backend`` unless it says otherwise.
        """
        tables = [{"name": f"webhook{number}", "url": self._url, **webhook} for number, webhook in enumerate(webhooks)]
        default = {"listen": [self._spec], "admin": {"listen": ""}}
        config = default | settings | {"webhook": tables or [{"name": "webhook", "url": self._url}]}
        if self._running and self._running.running and self._running.config == config and not fresh:
            self._running.forget()
            return self._running
        self.stop()
        self._running = Gateway(self._directory(), config)
        return self._running

    def stop(self) -> None:
        """End the one that runs."""
        running, self._running = self._running, None
        if running and running.running:
            running.end()


@pytest.fixture(scope="module")
def gateways_of_module(
    milter_spec: str, backend_of_session: Backend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateways]:
    """Gateways live for a module at most; tests take ``gateway``."""
    gateways = Gateways(milter_spec, backend_of_session.url(), lambda: tmp_path_factory.mktemp("gateway"))
    yield gateways
    gateways.stop()


@pytest.fixture
def gateway(gateways_of_module: Gateways, backend: Backend) -> Gateways:
    """``gateway(...)`` runs the program with this configuration."""
    return gateways_of_module


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    config.addinivalue_line("markers", "slow: takes more than ten seconds, since something has to be waited for")
    config.addinivalue_line("markers", "case(title): the row of the end-to-end matrix that this test fills")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark these tests as end-to-end, and note each one's place in the matrix.

    A case runs with one mail server right after the other, so that both use one gateway.
    """
    order: dict[str, int] = {}
    for item in items:
        order.setdefault(_case(item), len(order))
    items.sort(key=lambda item: order[_case(item)])
    for item in items:
        if not item.path.is_relative_to(HERE):
            continue
        item.add_marker(pytest.mark.e2e)
        if case := item.get_closest_marker("case"):
            item.user_properties.append(("e2e", (case.args[0], _columns(item))))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the matrix: what was tried, and how it went with each mail server."""
    matrix: dict[str, dict[str, str]] = {}
    for outcome, word in OUTCOMES.items():
        for report in terminalreporter.stats.get(outcome, []):
            noted = getattr(report, "user_properties", [])  # a module that could not be imported has none
            for title, columns in (value for name, value in noted if name == "e2e"):
                row = matrix.setdefault(title, dict.fromkeys(MTAS, "-"))
                for column in columns:
                    row[column] = max(row[column], word, key=WORST_LAST.index)
    if not matrix:
        return
    width = max(map(len, matrix))
    terminalreporter.section("end to end")
    terminalreporter.line(f"{'':{width}}  {'  '.join(f'{name:8}' for name in MTAS)}")
    for title, row in matrix.items():
        terminalreporter.line(f"{title:{width}}  {'  '.join(f'{row[name]:8}' for name in MTAS)}")


def _case(item: pytest.Item) -> str:
    """The test's name without the mail server."""
    return re.sub(rf"\[({'|'.join(MTAS)})-?", "[", item.nodeid)


def _columns(item: pytest.Item) -> tuple[str, ...]:
    """The mail servers that a test stands for: its parameter's, or those that it names as fixtures."""
    callspec = getattr(item, "callspec", None)
    if callspec and "mta" in callspec.params:
        return (callspec.params["mta"],)
    return tuple(name for name in MTAS if name in getattr(item, "fixturenames", ()))
