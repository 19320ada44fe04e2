"""`sample` and `schema`: the contract, ready to be posted and checked."""

import json
from typing import Any

import jsonschema
import pytest
from cli_program import run

from gateway.cli.sample import sample
from gateway.cli.schema import schema
from gateway.contract.words import Event


def sampled(event: str, *replacements: str) -> Any:
    return json.loads(sample(Event(event), replacements))


def test_a_sample_is_one_line_of_json_that_says_dry_run() -> None:
    done = run("sample", "rcpt")
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    request = json.loads(done.stdout)
    assert (request["event"], request["dry_run"], request["data"]["address"]) == ("rcpt", True, "bob@site.example")


@pytest.mark.parametrize("event", list(Event))
def test_the_sample_of_every_event_is_in_the_published_schema(event: Event) -> None:
    jsonschema.validate(sampled(event), json.loads(schema("request")))


DATA: dict[str, set[str]] = {
    "negotiate": {"milter_version", "events", "changes"},
    "connect": {"name", "address", "port", "family"},
    "helo": {"name"},
    "mail": {"address", "params"},
    "rcpt": {"address", "params", "index"},
    "data": set(),
    "header": {"index", "name", "value"},
    "end_of_headers": {"count"},
    "body": {"offset", "size", "text"},
    "end_of_message": {"size", "truncated"},
    "abort": {"after"},
    "unknown": {"command"},
    "disconnect": {"cause", "transactions", "duration_ms"},
}


@pytest.mark.parametrize("event", list(Event))
def test_the_sample_of_every_event_has_the_facts_of_that_event(event: Event) -> None:
    assert set(sampled(event)["data"]) == DATA[event]


@pytest.mark.parametrize("event", ["negotiate", "connect", "helo", "unknown", "disconnect"])
def test_outside_a_transaction_there_is_no_sender_and_no_message(event: str) -> None:
    request = sampled(event)
    assert (request["envelope"], request["transaction_id"], request["message"]) == (
        {"from": None, "to": []},
        None,
        None,
    )


def test_the_sample_at_the_end_of_the_message_shows_the_whole_message() -> None:
    message = sampled("end_of_message")["message"]
    assert [field["name"] for field in message["headers"]] == ["From", "To", "Subject", "Date", "Message-ID"]
    assert message["size"] == sampled("end_of_message")["data"]["size"]
    assert message["body"]["text"].startswith("Hello Bob")


@pytest.mark.parametrize(
    ("replacement", "path", "value"),
    [
        ('data.address="x@y"', ("data", "address"), "x@y"),
        ('envelope.to.0.address="x@y"', ("envelope", "to", 0, "address"), "x@y"),
        ("envelope.from=null", ("envelope", "from"), None),
        ('context.session={"a":[1]}', ("context", "session"), {"a": [1]}),
        ("data.params.SMTPUTF8=true", ("data", "params", "SMTPUTF8"), True),
        ('macros.{new}="1"', ("macros", "{new}"), "1"),
        ('data.address_base64="/w=="', ("data", "address_base64"), "/w=="),
        ("data.rejected_by_mta=true", ("data", "rejected_by_mta"), True),
        ('data.address="a=b"', ("data", "address"), "a=b"),
        ("tls=null", ("tls",), None),
    ],
)
def test_a_value_is_set_by_its_path(replacement: str, path: tuple[str | int, ...], value: object) -> None:
    found = sampled("rcpt", replacement)
    for step in path:
        found = found[step]
    assert found == value


def test_nothing_but_the_value_is_changed() -> None:
    plain, changed = sampled("rcpt"), sampled("rcpt", 'data.address="x@y"')
    assert list(changed) == list(plain)
    assert {key for key in plain if plain[key] != changed[key]} <= {
        "id",
        "time",
        "session_id",
        "transaction_id",
        "data",
    }


@pytest.mark.parametrize("name", ["request", "response", "openapi"])
def test_each_schema_is_printed_as_json(name: str) -> None:
    done = run("schema", name)
    assert (done.returncode, done.stderr, json.loads(done.stdout)) == (0, "", json.loads(schema(name)))
