"""The command line: one module for each command.

- `main`: the commands. `options`: what several of them share. `errors`: exit codes.
- `run`: the service with its signals. `logs`: how log lines look.
- `demo` with `demo_backend` and `demo_mails`: all of it in one process.
- `check`, `send`, `sample`, `schema`: for those who write filters.
- `scenes`: a sample SMTP session for `sample` and `check`. `timeline`: what happened to a mail, as lines for people.
"""
