"""A mail transaction and what is asked to change in it; pure, made of bytes.

- `fields`: the header fields, their exact bytes, and reading a raw message.
- `changes`: the vocabulary of changes.
- `comparison`: which fields of two headers are the same.
- `draft`: a message and its envelope with the changes of several answers applied, one answer after the other.
- `edits`: the net result as milter packets, in the order that Postfix and Sendmail both obey.
"""
