"""After calls that failed in a row a webhook is left alone, and tried again after a while."""

import asyncio

import pytest
from gateway_harness import MAI, START, TEMPFAILED, Answer, Backend, gateway, refused_url
from hypothesis import given
from hypothesis import strategies as st

from gateway.webhook import (
    Call,
    Cause,
    CircuitOpen,
    DeadlineExceeded,
    Endpoint,
    StatusFailed,
    WebhookClient,
    WebhookError,
)
from gateway.webhook.circuit import FAILURES_TO_OPEN, OPEN_SECONDS, Circuit

OURS = (Cause.NO_ROOM, Cause.BODY, Cause.TOO_LARGE, Cause.CIRCUIT_OPEN)
THEIRS = tuple(set(Cause) - set(OURS))


def opened(at: float = 100.0) -> Circuit:
    circuit = Circuit()
    assert [circuit.failed(Cause.CONNECT, at) for _ in range(FAILURES_TO_OPEN)] == [False] * 4 + [True]
    return circuit


def test_five_failures_in_a_row_open_it():
    circuit = opened()
    assert circuit.is_open
    assert not circuit.lets_through(100.0)
    assert not circuit.lets_through(100.0 + OPEN_SECONDS - 0.001)


def test_one_that_never_opens_lets_everything_through():
    circuit = Circuit(None)
    assert [circuit.failed(Cause.CONNECT, 100.0) for _ in range(20)] == [False] * 20
    assert circuit.lets_through(100.0)


def test_one_probe_is_let_through_and_closes_it():
    circuit = opened()
    assert circuit.lets_through(105.0)
    assert not circuit.lets_through(105.0)
    assert circuit.worked()
    assert circuit.lets_through(105.1)
    assert not circuit.is_open
    assert not circuit.worked()


def test_a_failed_probe_keeps_it_open_and_is_no_news():
    circuit = opened()
    assert circuit.lets_through(105.0)
    assert not circuit.failed(Cause.TIMEOUT, 106.0)
    assert not circuit.lets_through(110.9)
    assert circuit.lets_through(111.0)


def test_a_probe_that_came_to_nothing_is_followed_by_another():
    circuit = opened()
    assert circuit.lets_through(105.0)
    assert circuit.lets_through(110.0)


@given(st.lists(st.one_of(st.sampled_from(sorted(THEIRS)), st.sampled_from(sorted(OURS)), st.none()), max_size=40))
def test_it_opens_exactly_after_five_of_theirs_without_a_success_between(outcomes):
    circuit, row = Circuit(), 0
    for outcome in outcomes:
        if outcome is None:
            circuit.worked()
            row = 0
        else:
            circuit.failed(outcome, 0.0)
            row += outcome in THEIRS
        assert circuit.is_open == (row >= 5)


@pytest.fixture
async def told():
    return []


def a_call(number: int, seconds: float = 5.0) -> Call:
    deadline = asyncio.get_running_loop().time() + seconds
    return Call(f"call-{number}", "rcpt", "session", "text/plain", b"not of the contract", deadline)


@pytest.fixture
async def client(told):
    made = []

    def make(url: str, retries: int = 0) -> WebhookClient:
        endpoint = Endpoint(name="w", urls=(url,), retries=retries)
        made.append(WebhookClient(endpoint, version="0", on_circuit=lambda name, why: told.append((name, why))))
        return made[-1]

    yield make
    for each in made:
        await each.aclose()


async def fail(client: WebhookClient, kind: type[WebhookError], times: int = 1, seconds: float = 5.0) -> None:
    for number in range(times):
        with pytest.raises(kind):
            await client.call(a_call(number, seconds))


async def test_a_call_with_its_attempts_counts_once_and_an_open_circuit_sends_nothing(told, client):
    async with Backend({"rcpt": Answer(503)}) as backend:
        calling = client(backend.url, retries=1)
        await fail(calling, StatusFailed, 4)
        assert told == []
        await fail(calling, StatusFailed)
        assert len(backend.requests) == 10
        assert [(name, type(why)) for name, why in told] == [("w", StatusFailed)]
        await fail(calling, CircuitOpen, 20)
        assert len(backend.requests) == 10


async def test_a_success_between_keeps_it_closed(told, client):
    async with Backend({"rcpt": [*[Answer(500)] * 4, None, *[Answer(500)] * 4, None]}) as backend:
        calling = client(backend.url)
        for _ in range(2):
            await fail(calling, StatusFailed, 4)
            await calling.call(a_call(0))
        assert told == []


async def test_time_that_others_used_up_does_not_open_it(told, client):
    async with Backend() as backend:
        calling = client(backend.url)
        await fail(calling, DeadlineExceeded, 8, seconds=-1)
        assert told == []
        await calling.call(a_call(0))


async def test_a_cancelled_call_counts_as_nothing(told, client):
    async with Backend({"rcpt": lambda _: asyncio.sleep(3600)}) as backend:
        calling = client(backend.url)
        for number in range(FAILURES_TO_OPEN + 1):
            task = asyncio.create_task(calling.call(a_call(number)))
            await backend.wait_for("rcpt", number + 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert told == []


async def test_the_gateway_applies_on_failure_without_a_call_and_says_so_once():
    url = refused_url()
    async with gateway(url, webhook={"events": ["mail"], "retries": 0}) as gw:
        for _ in range(8):
            async with gw.peer() as mta:
                await mta.negotiate()
                await mta.send(*START, MAI)
                assert (await mta.packet()).decode().startswith(TEMPFAILED)
        assert len(gw.lines(level="warning", containing="circuit opens")) == 1
        assert len(gw.lines(containing="circuit_open")) == 3


async def test_invalid_answers_do_not_open_it():
    answers = {"mail": {"action": "unheard of"}}
    async with Backend(answers) as backend, gateway(backend, webhook={"events": ["mail"]}) as gw:
        for _ in range(8):
            async with gw.peer() as mta:
                await mta.negotiate()
                await mta.send(*START, MAI)
                assert (await mta.packet()).decode().startswith(TEMPFAILED)
        assert len(backend.of("mail")) == 8
        assert gw.lines(containing="circuit") == []
