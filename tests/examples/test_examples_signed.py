"""signed.mjs at work: what it takes for a call of its gateway, and what it does not."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from example_processes import Filter
from known_services import SECRET
from mails import PUT_OFF, mail, said
from standardwebhooks import Webhook

from gateway.mta.outcome import Verdict

Start = Callable[..., Filter]

OTHER = "whsec_" + base64.b64encode(b"another secret").decode()
BODY = '{"event":"mail","data":{"address":""}}'


def signed(secret: str = SECRET, body: str = BODY, *, age_seconds: int = 0) -> dict[str, str]:
    """The headers of a call, as the reference implementation signs it."""
    time = datetime.now(UTC) - timedelta(seconds=age_seconds)
    signature = Webhook(secret).sign("call", time, body)
    return {"webhook-id": "call", "webhook-timestamp": str(int(time.timestamp())), "webhook-signature": signature}


@pytest.fixture(scope="module")
def rotating(start_filter: Start, tmp_path_factory: pytest.TempPathFactory) -> Filter:
    """A service that knows two secrets, behind a gateway that signs with the first."""
    file = tmp_path_factory.mktemp("secrets") / "webhook.secret"
    file.write_text(f"{SECRET}\n{OTHER}\n")
    return start_filter("signed.mjs", WEBHOOK_SECRET_FILE=str(file))


async def test_signed_takes_the_calls_of_its_gateway(rotating: Filter) -> None:
    played = await rotating.play(mail(sender="jörg@client.example"))
    assert (played.verdict, rotating.complaints()) == (Verdict.ACCEPTED, [])


VALID: dict[str, Callable[[], dict[str, str]]] = {
    "first secret": signed,
    "second secret": lambda: signed(OTHER),
    "one of several": lambda: (
        signed() | {"webhook-signature": f"v1,AAAA v1a,{'A' * 88} {signed()['webhook-signature']}"}
    ),
    "a slow call": lambda: signed(age_seconds=240),
}
INVALID: dict[str, Callable[[], dict[str, str]]] = {
    "no header": dict,
    "no signature": lambda: signed() | {"webhook-signature": ""},
    "an empty signature": lambda: signed() | {"webhook-signature": "v1,"},
    "another version": lambda: signed() | {"webhook-signature": signed()["webhook-signature"].replace("v1,", "v2,")},
    "a stranger's secret": lambda: signed("whsec_" + base64.b64encode(b"a stranger's secret").decode()),
    "another body": lambda: signed(body=BODY + " "),
    "another id": lambda: signed() | {"webhook-id": "another"},
    "another time": lambda: signed() | {"webhook-timestamp": signed(age_seconds=1)["webhook-timestamp"]},
    "no time": lambda: signed() | {"webhook-timestamp": "now"},
    "too old": lambda: signed(age_seconds=600),
    "from the future": lambda: signed(age_seconds=-600),
}


@pytest.mark.parametrize("case", VALID)
def test_signed_takes_a_valid_signature(rotating: Filter, case: str) -> None:
    answer = rotating.post(BODY.encode(), **VALID[case]())
    assert (answer.status_code, answer.json()) == (httpx.codes.OK, {"annotations": {"signed": True}})


@pytest.mark.parametrize("case", INVALID)
def test_signed_refuses_any_other(rotating: Filter, case: str) -> None:
    assert rotating.post(BODY.encode(), **INVALID[case]()).status_code == httpx.codes.UNAUTHORIZED


async def test_signed_leaves_the_decision_to_a_gateway_that_has_another_secret(
    start_filter: Start, tmp_path: Path
) -> None:
    file = tmp_path / "webhook.secret"
    file.write_text(OTHER)
    played = await start_filter("signed.mjs", WEBHOOK_SECRET_FILE=str(file)).play(mail(), complaints=True)
    assert said(played.reply).startswith(PUT_OFF)


@pytest.mark.parametrize("content", ["", "\n", "whsec_\n", f"{SECRET}\nwhsec_"], ids=["empty", "blank", "bare", "half"])
def test_signed_does_not_start_without_a_secret(start_filter: Start, tmp_path: Path, content: str) -> None:
    file = tmp_path / "webhook.secret"
    file.write_text(content)
    with pytest.raises(AssertionError, match=r"webhook\.secret holds no secret"):
        start_filter("signed.mjs", WEBHOOK_SECRET_FILE=str(file))
