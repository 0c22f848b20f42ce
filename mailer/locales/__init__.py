"""What readers are told, in their language: catalogues, dates, direction.

The words stand in the templates in English; `catalogues/` holds one gettext file per language.
They are compiled in memory when a language is first asked for, so that nothing has to be built.
"""

from mailer.locales.catalogues import (
    LANGUAGES,
    READ,
    Fault,
    catalogue_for,
    faults,
    own_name,
    translations,
)
from mailer.locales.marking import N_

__all__ = [
    "LANGUAGES",
    "N_",
    "READ",
    "Fault",
    "catalogue_for",
    "faults",
    "own_name",
    "translations",
]
