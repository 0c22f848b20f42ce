"""Sentences that are put together in one place, in English, and said in a language in another."""

from __future__ import annotations

from gettext import NullTranslations


class Sentence(str):
    """A sentence in English that knows the message it was made of, and what was filled in.

    Wherever a text is wanted (in JSON, say) it is the English one.
    """

    _message: str
    _values: dict[str, str]

    def __new__(cls, message: str, **values: str) -> Sentence:
        """Fill the values into the message, which is marked with `N_`; they may be marked, too."""
        made = super().__new__(cls, message % values)
        made._message, made._values = message, values
        return made

    def said(self, language: NullTranslations) -> str:
        """Return the sentence in the language; a value that has no translation stays as it is."""
        say = language.gettext
        return say(self._message) % {name: say(value) for name, value in self._values.items()}


def said(text: str, language: NullTranslations) -> str:
    """Return a `Sentence`, or a text that was marked with `N_`, in the language."""
    if isinstance(text, Sentence):
        return text.said(language)
    return language.gettext(text) if text else ""  # the empty one is a catalogue's heading
