"""The rules of the demo's backend, and the routes that show and switch them."""

from dataclasses import dataclass

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict


@dataclass(frozen=True, slots=True)
class Rule:
    """What can be switched."""

    name: str
    does: str
    """In words, for the page."""
    event: str
    """When it applies."""
    on: bool = True
    """Whether it does at the start."""


RULES = (
    Rule("refuse_nobody", "Refuse nobody@… with 550", "rcpt"),
    Rule("greylist", "Greylist stranger@…", "rcpt"),
    Rule("hold_viruses", "Quarantine what says “virus”", "end_of_message"),
    Rule("tag_subject", "Tag the subject with [demo]", "end_of_message"),
    Rule("disclaimer", "Add a disclaimer to the text", "end_of_message"),
    Rule("slow", "Be slow: think for a second", "end_of_message", on=False),
    Rule("broken", "Be broken: answer 500", "end_of_message", on=False),
)


class RuleRow(BaseModel):
    """A rule of the demo's backend."""

    name: str
    does: str
    event: str
    on: bool


class RuleList(BaseModel):
    """All of them."""

    rules: list[RuleRow]


class RuleSwitch(BaseModel):
    """Whether a rule applies from now on."""

    model_config = ConfigDict(extra="forbid", strict=True)

    on: bool


class Rules:
    """Which rules apply at present."""

    def __init__(self) -> None:
        self._on = {rule.name: rule.on for rule in RULES}

    def __contains__(self, name: str) -> bool:
        return self._on[name]

    def switch(self, name: str, *, on: bool) -> None:
        """Let a rule apply or not, from the next event on. Raises KeyError."""
        if name not in self._on:
            raise KeyError(name)
        self._on[name] = on

    def rows(self) -> list[RuleRow]:
        """Show them."""
        return [RuleRow(name=rule.name, does=rule.does, event=rule.event, on=self._on[rule.name]) for rule in RULES]


def rule_routes(rules: Rules) -> APIRouter:
    """Build the routes over these rules."""
    router = APIRouter(prefix="/v1/demo", tags=["demo"])

    @router.get("/rules", summary="The rules of the demo's backend")
    async def show() -> RuleList:
        return RuleList(rules=rules.rows())

    @router.put("/rules/{name}", summary="Switch a rule on or off")
    async def switch(name: str, wanted: RuleSwitch) -> RuleList:
        """From the next event on."""
        try:
            rules.switch(name, on=wanted.on)
        except KeyError as error:
            raise HTTPException(404, "the demo has no such rule") from error
        return await show()

    return router
