"""Newsletters for news publishers: consent kept word for word, digests, exact delivery.

Two flows, and where they pass:

    sign-up   web.signup → services.consent.signup → store.consents (event, evidence, subscription)
              → store.ledger.queue_mail → the sender → the reader's mail
              → web.consent (POST) → services.consent.signup.confirm → given → active

    digest    services.articles → services.digests (due) → services.campaigns.drafts (frozen)
              → services.campaigns.preparing: compile once (services.mails, rendering), look at it
                (services.campaigns.gate, checking), plan (store.ledger.plan)
              → services.delivery.sending: claim → conversation: compose → offer → gate
              → hand over (transports) → settle, together with the next one's gate

The database is the queue. Celery (`workers/`, rung by `mailer.doorbell`) only hurries it.
"""

__version__ = "0.1.0"
