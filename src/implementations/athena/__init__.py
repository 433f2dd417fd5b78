"""Athena: an underwriting assistant over a handbook of our own, the monitored example application.

Two kinds of request: a *recommendation* (a submission is accepted, referred or declined, with a reason) and a *chat*
answer (a question about the handbook). This file lists what a configuration may name as `athena.<name>`.
"""

from implementations.athena.extractors import chat, recommendation
from implementations.athena.metrics.confidence import decision_confidence, decision_margin, weakest_token
from implementations.athena.metrics.heuristics import (
    answer_states_fact,
    decision_matches,
    gold_passage_first,
    gold_passage_found,
    numbers_from_passages,
    reasons_from_passages,
    stays_on_topic,
)

METRICS = (
    decision_matches,
    answer_states_fact,
    reasons_from_passages,
    numbers_from_passages,
    gold_passage_found,
    gold_passage_first,
    stays_on_topic,
    decision_confidence,
    decision_margin,
    weakest_token,
)

EXTRACTORS = {"recommendation": recommendation, "chat": chat}
