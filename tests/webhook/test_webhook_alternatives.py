"""Several URLs of one webhook: the order, what goes on to the next, and how long a failing one is left aside."""

import pytest
from gateway_harness import refused_url
from webhook_backends import answer, hang, says

from gateway.webhook import Cause, ConnectFailed, DeadlineExceeded, StatusFailed
from gateway.webhook.alternatives import ASIDE_SECONDS, Alternatives

BUSY = answer(b"", "503 Service Unavailable")


def urls(alternatives, now):
    return [each.url for each in alternatives.in_order(now)]


def test_the_configured_order():
    assert urls(Alternatives(["a", "b", "c"]), 0.0) == ["a", "b", "c"]


def test_a_failing_one_comes_last_for_a_while_and_then_one_call_tries_it():
    alternatives = Alternatives(["a", "b"])
    first, second = alternatives.in_order(0.0)
    assert alternatives.failed(first, 0.0)
    assert urls(alternatives, ASIDE_SECONDS - 0.1) == ["b", "a"]
    assert urls(alternatives, ASIDE_SECONDS) == ["a", "b"], "a probe"
    assert urls(alternatives, ASIDE_SECONDS) == ["b", "a"], "one at a time"
    assert alternatives.worked(first)
    assert urls(alternatives, ASIDE_SECONDS) == ["a", "b"]
    assert not alternatives.worked(second), "it had not been left aside"


def test_only_the_first_failure_is_news():
    alternatives = Alternatives(["a", "b"])
    first, _ = alternatives.in_order(0.0)
    assert [alternatives.failed(first, now) for now in (0.0, 1.0)] == [True, False]


def test_all_may_be_left_aside():
    alternatives = Alternatives(["a", "b"])
    for each in alternatives.in_order(0.0):
        alternatives.failed(each, 0.0)
    assert urls(alternatives, 1.0) == ["a", "b"]


def test_a_single_one_never_is():
    alternatives = Alternatives(["a"])
    (only,) = alternatives.in_order(0.0)
    assert not alternatives.failed(only, 0.0)
    assert not alternatives.worked(only)


@pytest.mark.parametrize("first", ["refused", "503", "429"])
async def test_the_next_one_is_asked_at_once_with_the_same_bytes(serve, connect, ask, first):
    busy = await serve(says(answer(b"", "429 Too Many Requests", "retry-after: 60") if first == "429" else BUSY))
    good = await serve(says(answer(b"good")))
    told = []
    url = refused_url() if first == "refused" else busy.url
    client = connect(url, good, retries=0, on_alternative=lambda *news: told.append(news))
    got = await client.call(ask(b"{1}"))
    assert (got.body, got.attempts) == (b"good", 2)
    assert good.requests[0].headers["milter-attempt"] == "2"
    assert [each.body for each in (*busy.requests, *good.requests)] == [b"{1}"] * (1 + len(busy.requests))
    assert [(name, where) for name, where, _ in told] == [("policy", url)]
    again = await client.call(ask(b"{2}"))
    assert (again.attempts, len(told)) == (1, 1), "left aside, said once"


async def test_after_a_timeout_no_other_is_asked_but_the_next_call_avoids_it(serve, connect, ask):
    silent, good = await serve(hang), await serve(says(answer(b"good")))
    client = connect(silent, good, retries=3)
    with pytest.raises(DeadlineExceeded):
        await client.call(ask(seconds=0.2))
    assert good.requests == []
    assert (await client.call(ask())).attempts == 1


async def test_a_refusal_of_the_request_is_the_same_everywhere(serve, connect, ask):
    wrong, good = await serve(says(answer(b"", "401 Unauthorized"))), await serve(says(answer()))
    client = connect(wrong, good)
    for _ in range(2):
        with pytest.raises(StatusFailed) as failure:
            await client.call(ask())
        assert (failure.value.cause, failure.value.attempts) == (Cause.CLIENT_ERROR, 1)
    assert (len(wrong.requests), good.requests) == (2, [])


async def test_retries_are_rounds_over_all_of_them(serve, connect, ask):
    one, two = await serve(says(BUSY, BUSY, BUSY)), await serve(says(BUSY, BUSY, BUSY))
    with pytest.raises(StatusFailed) as failure:
        await connect(one, two, retries=1).call(ask())
    assert (failure.value.attempts, len(one.requests), len(two.requests)) == (4, 2, 2)


async def test_all_failing_is_the_failure_of_the_last(connect, ask):
    with pytest.raises(ConnectFailed) as failure:
        await connect(refused_url(), refused_url() + "?2", retries=0).call(ask())
    assert failure.value.attempts == 2


async def test_the_event_is_put_into_each(serve, connect, ask):
    good = await serve(says(answer()))
    await connect(refused_url() + "/{event}", good.url + "/{event}").call(ask(event="rcpt"))
    assert good.requests[0].target == "/hook/rcpt"
