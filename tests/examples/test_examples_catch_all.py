"""CatchAll.java at work: a mail is played through a real gateway that asks it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from example_processes import Filter
from mails import PLAIN, mail

from gateway.mta.outcome import Verdict

FilterOf = Callable[[str], Filter]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["hello@shop.example"], ["sales@site.example"]),
        (["Any+thing.At'all@Shop.EXAMPLE"], ["sales@site.example"]),
        (["a@shop.example", "bob@site.example", "b@shop.example"], ["bob@site.example", "sales@site.example"]),
        (["a@notshop.example"], ["a@notshop.example"]),
        (["a@shop.example.site.example"], ["a@shop.example.site.example"]),
        (['"a b"@shop.example'], ['"a b"@shop.example']),
        (["J\udcf6rg@shop.example"], ["J\udcf6rg@shop.example"]),
        (["postmaster"], ["postmaster"]),
    ],
    ids=["one", "capitals", "several", "end of a name", "start of a name", "quoted", "not UTF-8", "no domain"],
)
async def test_catch_all_redirects_a_domain_and_nothing_else(
    filter_of: FilterOf, before: list[str], after: list[str]
) -> None:
    played = await filter_of("CatchAll.java").play(mail(PLAIN, *before))
    recipients = [address.decode("utf-8", "surrogateescape") for address in played.result.recipients]
    assert (played.verdict, recipients) == (Verdict.ACCEPTED, [f"<{address}>" for address in after])


async def test_catch_all_redirects_bounces_and_is_not_deceived_by_what_a_client_says(filter_of: FilterOf) -> None:
    lying = replace(mail(PLAIN, "bob@site.example", sender=""), helo='"data":{"address":"x@shop.example"}')
    assert (await filter_of("CatchAll.java").play(lying)).result.recipients == [b"<bob@site.example>"]
    played = await filter_of("CatchAll.java").play(replace(lying, recipients=("hello@shop.example",)))
    assert played.result.recipients == [b"<sales@site.example>"]
