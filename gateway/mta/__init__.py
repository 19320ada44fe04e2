"""The MTA's side of a milter conversation, as Postfix holds it.

- `mail`: the mail that is played: envelope, client, raw message.
- `player`: plays it through a milter over a pair of streams, event by event.
- `outcome`: what became of it: the verdict, and the message and envelope after the changes.
- `report`: the same as JSON, in the words of the contract.
"""
