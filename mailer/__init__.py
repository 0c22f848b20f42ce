"""Newsletters for news publishers: consent kept word for word, digests, exact delivery.

Two flows, and where they pass:

    sign-up   web.signup → services.signup → store.consents (event, evidence, subscription)
              → store.ledger.queue_mail → the sender → the reader's mail
              → web.consent (POST) → services.signup.confirm → given → active

    digest    services.articles → services.digests (due) → services.campaigns (content frozen)
              → services.preparing: compile once (rendering), look at it (services.gate, checking),
                plan (store.ledger.plan)
              → services.sending: claim → services.conversation: compose → offer → gate
              → hand over (transports) → settle, together with the next one's gate

The database is the queue. Celery (`workers/`, rung by `mailer.doorbell`) only hurries it.
"""

__version__ = "0.1.0"
