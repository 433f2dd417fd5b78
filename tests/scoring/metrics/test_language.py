import pytest

import shared.scoring.text.language_detection as detection
from shared.core.errors import ConfigError
from shared.scoring.text.language_detection import detect_language, language_codes, primary_language
from tests.scoring.scored import applies, result_of, score_of

SAID = {
    "en": "Thank you for your message. Your claim was approved yesterday.",
    "de": "Vielen Dank für Ihre Nachricht. Der Schaden wurde gestern bestätigt.",
    "fr": "Merci pour votre message. Votre dossier a été accepté hier.",
    "es": "Gracias por su mensaje. Su reclamación fue aprobada ayer.",
    "it": "Grazie per il messaggio. La pratica è stata approvata ieri.",
    "pt": "Obrigado pela sua mensagem. O seu pedido foi aprovado ontem.",
    "nl": "Bedankt voor uw bericht. Uw claim is gisteren goedgekeurd.",
    "sv": "Tack för ditt meddelande. Ditt ärende godkändes igår.",
    "pl": "Dziękujemy za wiadomość. Twoje zgłoszenie zostało wczoraj przyjęte.",
    "ru": "Спасибо за сообщение. Ваше заявление было одобрено вчера.",
    "ja": "メッセージありがとうございます。申請は昨日承認されました。",
    "zh": "谢谢您的留言。您的申请昨天已经获得批准。",
    "ko": "메시지 감사합니다. 신청은 어제 승인되었습니다.",
    "ar": "شكرا على رسالتك. تمت الموافقة على طلبك أمس.",
    "tr": "Mesaj\u0131n\u0131z için teşekkürler. Başvurunuz dün onayland\u0131.",
    "fi": "Kiitos viestistäsi. Hakemuksesi hyväksyttiin eilen.",
}


@pytest.mark.parametrize("code", SAID)
def test_a_sentence_or_two_are_enough(code: str) -> None:
    """The same message in sixteen languages."""
    assert score_of("language", {"actual_output": SAID[code]}, expected=code).value == 1.0
    other = "de" if code == "en" else "en"
    assert score_of("language", {"actual_output": SAID[code]}, expected=other).value == 0.0


@pytest.mark.parametrize(
    "text", ["", "OK", "30 days", "Paris", "12345 67890 12345 67890", "HTTP 500", "🙂🙂🙂", "はい"]
)
def test_too_little_text_is_not_guessed_at(text: str) -> None:
    """It does not apply, so it counts neither way."""
    assert not applies("language", {"actual_output": text or " "}, expected="en")


def test_code_and_addresses_have_no_language() -> None:
    """German around English code is German; code alone is not judged."""
    code = "```python\nfor each in the_list_of_all_things: print(each, file=the_output)\n```"
    assert score_of("language", {"actual_output": SAID["de"] + code}, expected="de").value == 1.0
    assert not applies("language", {"actual_output": code}, expected="en")
    assert not applies("language", {"actual_output": "https://example.com/the/long/way/round"}, expected="en")


def test_without_an_expected_language_the_query_says_it() -> None:
    """An answer should be in the language of its question; a question that is too short does not say."""
    item = {"query": SAID["fr"], "actual_output": SAID["en"]}
    assert score_of("language", item).explanation == "written in 'en', expected 'fr'"
    assert not applies("language", item | {"query": "Et ?"})
    assert not applies("language", {"actual_output": SAID["en"]})


def test_the_item_may_say_its_language() -> None:
    """Under a path, with or without a region; what is no code is a failure, what is missing does not apply."""
    item = {"actual_output": SAID["pt"], "metadata": {"locale": "pt-BR", "bad": "Portuguese", "empty": ""}}
    assert score_of("language", item, expected_from="metadata.locale").value == 1.0
    assert not applies("language", item, expected_from="metadata.nothing")
    assert not applies("language", item, expected_from="metadata.empty")
    failures = result_of("language", item, expected_from="metadata.bad").failures
    assert failures[0].message == "metadata.bad: found 'Portuguese'; expected a language's code such as 'en' or 'pt-BR'"


def test_unclear_texts_are_left_to_the_threshold_of_confidence() -> None:
    """Raised, it leaves more out; among few languages the same text is clearer."""
    item = {"actual_output": "Please restart it."}
    assert applies("language", item, expected="en", min_confidence=0.5)
    assert not applies("language", item, expected="en", min_confidence=0.9)
    assert applies("language", item, expected="en", min_confidence=0.9, languages=["de", "en"])


def test_a_megabyte_is_read_at_its_beginning() -> None:
    """The first 10,000 characters tell; hostile signs cost no more."""
    assert score_of("language", {"actual_output": SAID["en"] * 17_000}, expected="en").value == 1.0
    assert not applies("language", {"actual_output": "`" * 1_000_000}, expected="en")
    assert detect_language("http://" * 100_000) is None


def test_codes_have_other_names() -> None:
    """Regions, scripts and older codes are understood."""
    assert [primary_language(each) for each in ("EN_us", "zh-Hans", "nb", "iw", "fil")] == [
        "en",
        "zh",
        "no",
        "he",
        "tl",
    ]
    assert {"en", "de", "zh"} < set(language_codes())


def test_another_model_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file must be the one that was looked at."""
    monkeypatch.setattr(detection, "SHA256", "0" * 64)
    with pytest.raises(ConfigError, match="it is not loaded"):
        detection._load_identifier.__wrapped__(())
