"""Claims graded: a quoted number against the same number worked out again.

`audited.csv` holds 190 claims quoted from five texts on the economics of language models, with
the verdict of a human audit; `rules.toml` says for each what to compute. The audit's verdicts are
compared with, never read, when grading.
"""

from ridgeline.explain.claims.claimed import Claimed, read_claimed
from ridgeline.explain.claims.rules import Rule, rules
from ridgeline.explain.claims.table import ClaimRow, audited, read_claims
from ridgeline.explain.claims.verdict import VERDICTS, Case, Verdict, judge

__all__ = ["VERDICTS", "Case", "ClaimRow", "Claimed", "Rule", "Verdict", "audited", "judge",
           "read_claimed", "read_claims", "rules"]
