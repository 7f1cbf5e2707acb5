"""What happened: the durable account of every attempt, its yield, cost and lineage.

A run's folder holds four append-only JSONL files: attempts, verdicts, decisions and rounds. An attempt is named by
(round, engine, env, task_id, attempt) and counted exactly once; planned = passed + failed + invalid + pending at every
instant. Killing a run loses nothing that was committed and duplicates nothing.
"""

from orbiter.ledger.account import Account
from orbiter.ledger.attempt import Attempt, AttemptKey
from orbiter.ledger.decision import ACCEPTED, Decision, Fate
from orbiter.ledger.history import History
from orbiter.ledger.index import IndexedAttempt, RunIndex, rebuild_index
from orbiter.ledger.ledger import Ledger
from orbiter.ledger.lineage import trace_checkpoint, trace_given, trace_row, trace_taint

__all__ = [
    "ACCEPTED",
    "Account",
    "Attempt",
    "AttemptKey",
    "Decision",
    "Fate",
    "History",
    "IndexedAttempt",
    "Ledger",
    "RunIndex",
    "rebuild_index",
    "trace_checkpoint",
    "trace_given",
    "trace_row",
    "trace_taint",
]
