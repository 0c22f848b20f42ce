"""Delivery: from the ledger through the gate to a relay, and what its answers come to."""
