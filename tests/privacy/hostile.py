"""Texts made to cost time: every beginning of something that never ends."""

from __future__ import annotations

_UNITS = (
    'a', 'A1', '1', '1 ', '1-', '+1', '4', '4111 ', '@', 'a@', 'a@b.', 'a.b@', '"', '"a"@', '<a@b.co>', 'A ',
    '"x" <', '://', 'a://', 'http://', 'www.', 'www.a', '(', ')', 'http://a(', 'DE89 ', 'DE', 'A1b2', 'a1B2c3',
    'aA1-', 'eyJa.', 'eyJabcdefgh.eyJ', 'eyJ-', 'eyJabcdefgh-', 'SG.-', 'key="', "key='", 'sk-', 'sk-a',
    '-----BEGIN', '-----BEGIN PRIVATE KEY-----', '-----END', 'key', 'key=', 'key:', 'password ', 'password is ',
    "token='", 'token="', 'Bearer ', 'bearer a', '1.', '1.2.3.4', '1:', '::', 'a:', 'fe80:', 'a(at)b',
    'a (at) b (dot) ', 'call 415', 'call 4155550132 ', '+44 20 7946 0958 ', '00', '[EMAIL]', '[', '\x00', '\n',
    '%40', '&#64;', 'a\u200b', 'a%40b.', 'curl ', 'curl -u ', 'curl -u a:',
    '123-45-6789', 'ssn ', 'tel 1', '1,', '2024-01-01 ', '\xe9', '\u202e', 'lf-', 'xoxb-', '_', '-', '/', '=', 'a_',
)  # fmt: skip


def hostile(length: int) -> list[str]:
    """One text of about that length for each unit, and for each pair of some."""
    pairs = [one + two for one in _UNITS[::5] for two in _UNITS[::7]]
    return [(unit * length)[:length] for unit in (*_UNITS, *pairs)]
