"""The consent log in the database: which leaf has which place, the tree over it, checkpoints."""

from mailer.store.log.checkpoints import keep_checkpoint, newest_checkpoint, signed_names
from mailer.store.log.folder import CannotWitness, CheckpointFolder
from mailer.store.log.sequencer import hold_log, leaves_wait, log_size, sequence, time_of_leaf
from mailer.store.log.tree import LogDamaged, LogTree

__all__ = [
    "CannotWitness",
    "CheckpointFolder",
    "LogDamaged",
    "LogTree",
    "hold_log",
    "keep_checkpoint",
    "leaves_wait",
    "log_size",
    "newest_checkpoint",
    "sequence",
    "signed_names",
    "time_of_leaf",
]
