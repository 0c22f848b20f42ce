"""The one kind of error that people are meant to read."""


class Refusal(Exception):
    """Something asked for cannot be done; the message is one sentence that says what to do.

    Shells show the message and end with status 1 (command line) or an error page (web); they
    never show a traceback for it. Anything else that escapes is a bug.
    """
