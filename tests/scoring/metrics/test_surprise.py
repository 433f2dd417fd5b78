import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.core.errors import ConfigError
from shared.core.results import LMResult
from shared.llm.adapters.offline import OfflineAdapter
from shared.scoring.metrics.surprise import DeltaSurprise, surprise
from tests.contracts.adapters.lm_adapters import small
from tests.llm.fake_openai import standing_in
from tests.llm.test_local import with_model
from tests.scoring.scored import DatasetItem, applies, result_of, score_of

ITEM = {"query": "Which colour is grass?", "actual_output": "green", "negatives": ["bright red", "blue", "blue", " "]}
LOGPROBS = {"green": (-0.5,), "bright red": (-3.0, -1.0), "blue": (-1.5,), "": ()}


class Knowing:
    """A model that can say how likely given texts are, as the local one can."""

    name = "knowing"

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def complete(self, prompt: Any, max_tokens: int = 256, **params: Any) -> LMResult:
        choices = params["choices"]
        self.asked.append((prompt[0]["content"], choices))
        return LMResult(choices[0], LOGPROBS[choices[0]], tokens=choices, finish_reason="choice")

    def complete_with_logprobs(self, prompt: Any, max_tokens: int = 256, **params: Any) -> LMResult:
        raise NotImplementedError

    def stream(self, prompt: Any, max_tokens: int = 256, **params: Any) -> AsyncIterator[str]:
        raise NotImplementedError

    def list_models(self) -> list[str]:
        return [self.name]

    def test_connection(self) -> None:
        """It is there."""


def test_the_likeliest_negative_is_the_baseline() -> None:
    """-0.5 against -1.5 a token: the answer is one nat likelier than "blue", which is asked about once."""
    model = Knowing()
    score = score_of("delta_surprise", ITEM, model=model)
    assert score.value == pytest.approx(1.0)
    assert score.signals == {"surprise": 0.5, "baseline": 1.5}
    assert model.asked == [("Which colour is grass?", (text,)) for text in ("green", "bright red", "blue")]
    assert score.model == "knowing"


def test_means_and_whole_answers() -> None:
    """The mean of all negatives' surprises, and sums instead of means over tokens."""
    assert score_of("delta_surprise", ITEM, model=Knowing(), negatives="mean").value == pytest.approx(1.75 - 0.5)
    assert score_of("delta_surprise", ITEM, model=Knowing(), over="answer").value == pytest.approx(1.0)
    whole = score_of("delta_surprise", ITEM, model=Knowing(), over="answer", negatives="mean")
    assert whole.value == pytest.approx((4.0 + 1.5) / 2 - 0.5)


@pytest.mark.parametrize("gone", ["query", "actual_output", "negatives"])
def test_without_its_inputs_it_does_not_apply(gone: str) -> None:
    """Nothing is compared with nothing."""
    assert not applies("delta_surprise", {key: value for key, value in ITEM.items() if key != gone}, model=Knowing())


def test_a_model_that_cannot_tell_says_so() -> None:
    """The run ends at once with the way out: made-up answers are not taken for logprobs, and chat APIs have none."""
    with pytest.raises(ConfigError, match="'offline' gives no logprobs of a given text; take a model of type local"):
        result_of("delta_surprise", ITEM, model=OfflineAdapter())

    async def of_a_chat_api(url: str) -> None:
        async with small(url) as chat:
            await DeltaSurprise(model=chat)(DatasetItem.from_dict(ITEM))

    with standing_in() as server, pytest.raises(ConfigError, match=r"unknown parameter 'choices'.*of type local"):
        asyncio.run(of_a_chat_api(server.url))
    assert server.questions == []


PREVIOUS: list[tuple[Any, float]] = [
    ([-1.0, -2.0], 1.5 - 0.25),
    ((-1.0, -2.0), 1.5 - 0.25),
    (-0.75, 0.5),
    ({"token_logprobs": [-0.25]}, 0.0),
]


@pytest.mark.parametrize(("said", "value"), PREVIOUS)
def test_against_the_previous_prompts_answer(said: Any, value: float) -> None:
    """The item's own logprobs against those that stand in its metadata: a list, their mean, or a mapping."""
    item = {"actual_output": "a b", "token_logprobs": [-0.5, 0.0], "metadata": {"previous_token_logprobs": said}}
    assert score_of("delta_surprise", item).value == pytest.approx(value)


def test_the_path_of_the_previous_answer_may_be_another() -> None:
    """Whole answers can be compared by their sums."""
    item = {"actual_output": "a", "token_logprobs": [-0.5, -1.0], "additional_output": {"before": [-1.0, -1.0, -1.0]}}
    score = score_of("delta_surprise", item, previous="additional_output.before", over="answer")
    assert score.value == pytest.approx(3.0 - 1.5)


@pytest.mark.parametrize(
    "item",
    [
        {"token_logprobs": [-0.5]},
        {"token_logprobs": [], "metadata": {"previous_token_logprobs": [-1.0]}},
        {"metadata": {"previous_token_logprobs": [-1.0]}},
        {"token_logprobs": [-0.5], "metadata": {"previous_token_logprobs": []}},
        {"token_logprobs": [-math.inf], "metadata": {"previous_token_logprobs": [-1.0]}},
        {"token_logprobs": [-0.1, -math.inf], "metadata": {"previous_token_logprobs": [-1.0]}},
    ],
)
def test_missing_logprobs_are_no_surprise(item: dict[str, Any]) -> None:
    """An answer without logprobs is neither sure nor unsure."""
    assert not applies("delta_surprise", item | {"actual_output": "a"})


@pytest.mark.parametrize("said", ["-1.0", [0.5], [None], 3, True, {"logprobs": [-1]}, [-math.inf]])
def test_what_is_no_logprob_is_a_failure(said: Any) -> None:
    """Where it stands and what was expected are told."""
    item = {"actual_output": "a", "token_logprobs": [-0.5], "metadata": {"previous_token_logprobs": said}}
    failures = result_of("delta_surprise", item).failures
    assert failures[0].message.startswith("metadata.previous_token_logprobs: found")


def test_a_baseline_is_one() -> None:
    """A model and a path are two baselines."""
    with pytest.raises(ConfigError, match="found model and previous"):
        DeltaSurprise(model=Knowing(), previous="metadata.x")


def test_surprise_of_nothing_is_none() -> None:
    """No tokens, no mean; a token that cannot happen has no finite surprise."""
    assert surprise([]) is None
    with pytest.raises(ValueError, match="finite"):
        surprise([-math.inf])


@pytest.mark.parametrize("over", [pytest.param("token", marks=with_model)])
def test_the_local_model_finds_the_right_colour_likelier(over: str) -> None:
    """Real logprobs of given texts: grass is green, not a potato."""
    from shared.llm.adapters.local import LocalAdapter

    adapter = LocalAdapter(n_ctx=512, n_threads=1)
    item = ITEM | {"actual_output": "Grass is green.", "negatives": ["Grass is made of potato engines."]}
    score = score_of("delta_surprise", item, model=adapter, over=over)
    adapter.close()
    assert score.value > 0
