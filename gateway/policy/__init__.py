"""What happens to an event: whom to ask, what their answers mean together, and what applies when one gives none.

- `rules`: the settings of one webhook, and the observer who is told what happened.
- `when`: the conditions under which a webhook is asked at all.
- `negotiation`: what to agree on with the MTA, so that it sends what is needed and waits where it must.
- `member`: one webhook within one SMTP session: its agreed terms, its context, how much more it wants.
- `gathering`: what the events of a session add to its facts.
- `ask`, `inquiry`: one question to one webhook, and the judgement that comes of it: its answer, or its policy.
- `conversation`: one SMTP session: webhooks asked in order, one decision for each event.
"""
