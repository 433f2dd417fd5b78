"""Which of the corrected pass rates can be gone by, and why, in words."""

from __future__ import annotations

from dataclasses import dataclass

from shared.report.records.judge_records import Chosen, Correction, Method
from shared.report.text.formatting import format_percent
from shared.report.text.result_words import count_words
from shared.scoring.statistics.agreement import Agreement, Interval
from shared.scoring.statistics.corrected_rates import (
    CorrectedRate,
    JudgedSample,
    ppi_rate,
    rogan_gladen,
    selection_shift,
    stratified_rate,
    uncorrected_rate,
)

FEW = 20
"""Labels below which no corrected rate is vouched for: `benchmarks/judges/judge_correction.py` has been run down to
there.
"""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one version of a judge. `by_chance` says that every item has a probability."""

    labelled: JudgedSample
    rest: JudgedSample
    agreement: Agreement | None
    by_chance: bool = True
    chosen: Chosen = "at_random"
    without_verdict: int = 0

    @property
    def labels(self) -> int:
        """Items with a label."""
        return 0 if self.agreement is None else self.agreement.n

    @property
    def others(self) -> int:
        """Judged items without a label."""
        import numpy as np  # late: importing the monitor must not pull it in

        return int(np.size(self.rest.judge))


def corrections(evidence: Evidence) -> tuple[Correction, ...]:
    """The pass rate by every method, or why a method has none."""
    agreement = evidence.agreement
    if agreement is None:
        return ()
    if not evidence.by_chance:
        why = "the items are not a random sample"
        return tuple(Correction(name, None, why) for name in ("people alone", "PPI++", "by verdict", "Rogan-Gladen"))
    labelled, rest = evidence.labelled, evidence.rest
    alone = uncorrected_rate(labelled.people, labelled.probabilities)
    everything = _join_samples(labelled, rest)
    stratified = stratified_rate(labelled, rest)
    corrected = rogan_gladen(everything.judge, agreement, everything.probabilities)
    return (
        Correction("people alone", CorrectedRate(alone.value, alone.low, alone.high, None, 0.0)),
        Correction("PPI++", ppi_rate(labelled, rest)),
        Correction("by verdict", stratified, "" if stratified else "one of its verdicts has no labelled item"),
        Correction("Rogan-Gladen", corrected, "" if corrected else _no_correction(agreement)),
    )


def _join_samples(labelled: JudgedSample, rest: JudgedSample) -> JudgedSample:
    import numpy as np

    parts = [np.concatenate([np.asarray(a), np.asarray(b)]) for a, b in (
        (labelled.judge, rest.judge), (labelled.probabilities, rest.probabilities))]  # fmt: skip
    return JudgedSample(parts[0], parts[1])


def _no_correction(agreement: Agreement) -> str:
    if agreement.sensitivity is None or agreement.specificity is None:
        only = "fail" if agreement.sensitivity is None else "pass"
        return f"all human labels are {only}, so only one kind of the judge's errors can be seen"
    both = f"{format_percent(agreement.sensitivity.value)} and {format_percent(agreement.specificity.value)}"
    return f"sensitivity and specificity ({both}) add up to no more than 1: the judge is no better than chance"


def choose_method(evidence: Evidence, found: tuple[Correction, ...]) -> tuple[Method | None, str]:
    """The method to go by and why; None where none can be gone by."""
    none = _why_no_rate(evidence)
    if none:
        return None, none
    rates = {each.method: each for each in found}
    if not evidence.others:
        return "people alone", "every judged item has a label, so the judge is not needed for the rate."
    if evidence.labels < FEW:
        return (
            None,
            f"{count_words(evidence.labels, 'label')} cannot carry a correction: label at least {FEW}, better 100.",
        )
    if evidence.chosen == "at_random":
        return _choose_at_random(evidence, rates)
    method: Method = "by verdict" if evidence.chosen == "by_verdict" else "Rogan-Gladen"
    if rates[method].found is None:
        return (
            None,
            f"labels were chosen {evidence.chosen.replace('_', ' ')}, and {method} has no answer: {rates[method].why}.",
        )
    if method == "by verdict":
        return (
            method,
            "items were chosen for labelling by the judge's verdict: each verdict is weighed by its own labels.",
        )
    return method, (
        "the labelled items are not a sample of this traffic: the rate is valid as long as the judge errs as often on "
        "good and on bad items here as there."
    )


def _why_no_rate(evidence: Evidence) -> str:
    if not evidence.labels:
        if evidence.without_verdict and not evidence.others:
            return "the metric has no threshold, so it gives no verdict to compare: set `threshold`."
        return "no judged item has a label."
    if not evidence.by_chance:
        return "the items are not a random sample, so agreement is that of the labelled items and no rate is estimated."
    return ""


def _choose_at_random(evidence: Evidence, rates: dict[Method, Correction]) -> tuple[Method | None, str]:
    away = selection_shift(evidence.labelled, evidence.rest)
    if away is not None and not away.low <= 0.0 <= away.high:
        return None, (
            f"the labelled items are no random part of the judged ones: the judge passes {_points(away)} of them than "
            "of the others (one time in twenty this is chance). Say how they were chosen (`chosen: by_verdict` or "
            "`elsewhere` under `labels`), or have a random part labelled."
        )
    weight = rates["PPI++"].found.weight if rates["PPI++"].found else 0.0
    if abs(weight) < 1e-9:
        return "people alone", "the judge's verdicts do not predict the human labels, so the labels are used alone."
    return "PPI++", (
        "the labelled items look like a random part of the judged ones (the judge passes about as many of them as of "
        "the others): the labels take the judge's bias away, and its verdicts on the rest narrow the confidence "
        "interval."
    )


def _points(away: Interval) -> str:
    return f"{abs(100 * away.value):.1f} points {'more' if away.value > 0 else 'less'}"
