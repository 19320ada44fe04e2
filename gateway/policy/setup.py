"""Everything that the conversations of one configuration have in common."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.policy.negotiation import Agreements
from gateway.policy.rules import Bounds, StoredBody, Webhook


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """The webhooks in order, bounds, macros to ask for beside our own, and what was agreed with MTAs before."""

    webhooks: tuple[Webhook, ...]
    bounds: Bounds
    new_body: Callable[[], StoredBody]
    release: Callable[[int], None] = lambda _: None
    """Gives bytes of the memory budget back that an answer took."""
    macros: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    dry_run: bool = False
    agreements: Agreements = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "agreements", Agreements(self.webhooks, self.macros))
