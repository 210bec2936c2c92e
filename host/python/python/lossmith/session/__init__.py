"""Exchanging strategies in a loop that is not lossmith's: checked beside it, taken when the loop says so.

``session``    what a user has: :class:`Session`
``arguments``  what is asked of the arguments
``candidates`` what is asked for, and what becomes of it
``requests``   what a candidate is made of, and what modules are bound to
``terms``      on which batches candidates are tried out, and with which others
``gate``       the checks, in the background
``revisions``  which candidate is at work, and the way back
``seen``       the last call of a module
``probation``  the first calls after an exchange
``states``     copies of what modules and guarded objects keep, and the way back
``shadows``    losses that are computed beside the one at work
``records``    the journal and the log
``report``     what happened
"""

from lossmith.session.report import Candidate, Report, Rollback
from lossmith.session.session import Session

__all__ = ["Candidate", "Report", "Rollback", "Session"]
