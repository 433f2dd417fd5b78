"""The metric library: every registered name and where it is found. Reading it imports none of them."""

from __future__ import annotations

from collections.abc import Mapping

_HERE = "shared.scoring.metrics"
_JUDGES = f"{_HERE}.judges"

LIBRARY: Mapping[str, str] = {
    "exact_match": f"{_HERE}.text:exact_match",
    "exact_string_match": f"{_HERE}.text:exact_match",
    "contains": f"{_HERE}.text:contains",
    "contains_match": f"{_HERE}.text:contains",
    "length": f"{_HERE}.text:length",
    "length_constraint": f"{_HERE}.text:length",
    "citation_presence": f"{_HERE}.text:citation_presence",
    "fuzzy_ratio": f"{_HERE}.similarity:fuzzy_ratio",
    "levenshtein_ratio": f"{_HERE}.similarity:levenshtein_ratio",
    "token_set": f"{_HERE}.similarity:token_set",
    "sentence_bleu": f"{_HERE}.similarity:sentence_bleu",
    "chrf": f"{_HERE}.similarity:chrf",
    "hit_rate_at_k": f"{_HERE}.retrieval:hit_rate_at_k",
    "precision_at_k": f"{_HERE}.retrieval:precision_at_k",
    "recall_at_k": f"{_HERE}.retrieval:recall_at_k",
    "ndcg_at_k": f"{_HERE}.retrieval:ndcg_at_k",
    "mean_reciprocal_rank": f"{_HERE}.retrieval:mean_reciprocal_rank",
    "tool_correctness": f"{_HERE}.tools:tool_correctness",
    "grounding_score": f"{_HERE}.grounding:grounding",
    "logprob_sum": f"{_HERE}.logprobs:logprob_sum",
    "logprob_mean": f"{_HERE}.logprobs:logprob_mean",
    "logprob_min": f"{_HERE}.logprobs:logprob_min",
    "perplexity": f"{_HERE}.logprobs:perplexity",
    "logprob_metric": f"{_HERE}.logprobs:logprob_objective",
    "embedding_similarity": f"{_HERE}.embedding:embedding_similarity",
    "format_json": f"{_HERE}.format:format_json",
    "format_schema": f"{_HERE}.format:format_schema",
    "format_markdown": f"{_HERE}.format:format_markdown",
    "format_length": f"{_HERE}.format:format_length",
    "keyword_presence": f"{_HERE}.keywords:keyword_presence",
    "keyword_absence": f"{_HERE}.keywords:keyword_absence",
    "regex_match": f"{_HERE}.keywords:regex_match",
    "language": f"{_HERE}.language:language",
    "pii_presence": f"{_HERE}.pii:PiiPresence",
    "refusal": f"{_HERE}.refusal:refusal",
    "delta_surprise": f"{_HERE}.surprise:DeltaSurprise",
    "latency": f"{_HERE}.latency:latency",
    "cascade": f"{_JUDGES}.cascade:Cascade",
    "faithfulness": f"{_JUDGES}.judge_grounding:Faithfulness",
    "answer_relevancy": f"{_JUDGES}.judge_answer:AnswerRelevancy",
    "answer_completeness": f"{_JUDGES}.judge_answer:AnswerCompleteness",
    "answer_criteria": f"{_JUDGES}.judge_answer:AnswerCriteria",
    "factual_accuracy": f"{_JUDGES}.judge_answer:FactualAccuracy",
    "tone": f"{_JUDGES}.judge_answer:Tone",
    "tone_style_consistency": f"{_JUDGES}.judge_answer:Tone",
    "contextual_precision": f"{_JUDGES}.judge_context:ContextualPrecision",
    "contextual_recall": f"{_JUDGES}.judge_context:ContextualRecall",
    "contextual_relevancy": f"{_JUDGES}.judge_context:ContextualRelevancy",
    "contextual_sufficiency": f"{_JUDGES}.judge_context:ContextualSufficiency",
    "goal_completion": f"{_JUDGES}.judge_conversation:GoalCompletion",
    "conversation_flow": f"{_JUDGES}.judge_conversation:ConversationFlow",
    "llm_judge": f"{_JUDGES}.llm_judge:LLMJudge",
    "pairwise_judge": f"{_JUDGES}.pairwise:PairwiseJudge",
}
"""Registered name -> `package.module:attr`. Two names of one target are an old and a new spelling of it."""

BRIDGES: Mapping[str, str] = {
    name: f"shared.scoring.bridges.{name}:metric_class" for name in ("deepeval", "ragas", "autoevals", "phoenix")
}
"""Prefix of other people's metrics -> what finds one of theirs by its name."""
