"""What readers are told, in their language: catalogues, dates, direction.

The words stand in the templates in English; `catalogues/` holds one gettext file per language.
They are compiled in memory when a language is first asked for, so that nothing has to be built.
"""

from mailer.domain.marking import N_
from mailer.locales.catalogues import (
    LANGUAGES,
    READ,
    SOURCE,
    Fault,
    catalogue_for,
    faults,
    own_name,
    spoken,
    translations,
)
from mailer.locales.sentences import Sentence, said

__all__ = [
    "LANGUAGES",
    "N_",
    "READ",
    "SOURCE",
    "Fault",
    "Sentence",
    "catalogue_for",
    "faults",
    "own_name",
    "said",
    "spoken",
    "translations",
]
