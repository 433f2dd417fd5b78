"""Which items were not sampled, in 20 to 23 bytes each: pages of sorted digests instead of one row an item.

An entry is 128 bits of SHA-256 of the item's id, the number of its group (the run, the strategy, the stratum), and the
inclusion probability where it differs within the group. Two of a billion ids have the same digest with a probability
of 1e-21. A page begins with the width of its entries, which have no probability where all have that of their group.

Pages stand in levels, each holding eight times as many entries as the one before. What is new is merged with the levels
that it fills up into the first one that has room, so an id is looked for in a handful of pages however many runs there
were, and an entry is written a few times in its life. A level has two slots: one is read while the other is written.
"""

from __future__ import annotations

import heapq
import json
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from itertools import islice

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from shared.core.results import Decision, Stream
from shared.core.state.item_history import ItemHistory, own_id
from shared.database.engine.row_mapping import Row, build_insert, chunks, in_stream, is_in, known_ids
from shared.database.schema.tables import decisions, unsampled_groups, unsampled_pages

_WIDE, _NARROW = 22, 19
"""Bytes of an entry: digest 16, group 3, probability 3 or none."""

_PAGE = 7980
"""Bytes of entries in a page: with its key it fills two pages of SQLite's file."""

_DIGEST = 16
_OWN = bytes(_WIDE - _NARROW)  # instead of a probability: that of the group
_HALF = 8  # bytes of a digest that are of the id without a version
_FIRST_LEVEL = 4096  # entries in the first level
_GROWTH = 8
_SLOTS = 24
_READ = 50  # pages read at a time
_P, _G = unsampled_pages.c, unsampled_groups.c


def save_unsampled(
    connection: sa.Connection, run_id: str, stream: Stream, made: Sequence[Decision], at: datetime
) -> int:
    """Store the items that a sample left out, as far as nothing was decided about them before. How many entries were
    written, with those that were merged."""
    chances: dict[tuple[str, str], set[float | None]] = {}
    for each in made:
        if not each.drawn and len(found := chances.setdefault((each.strategy, each.stratum), set())) < 2:
            found.add(each.probability)
    last = connection.scalar(sa.select(sa.func.max(_G.number)).where(in_stream(unsampled_groups, stream))) or 0
    groups = {key: last + place for place, key in enumerate(chances, 1)}
    parts = [bytearray() for _ in range(256)]
    for some in chunks(each for each in made if not each.drawn):
        ids = [each.item_id for each in some]
        known = known_ids(connection, decisions, stream, ids) | find_unsampled(connection, stream, ids)
        for each in some:
            if each.item_id not in known:
                key = (each.strategy, each.stratum)
                chance = each.probability if len(chances[key]) > 1 else None
                entry = _digest(each.item_id) + groups[key].to_bytes(3, "big") + _pack(chance)
                parts[entry[0]] += entry
    count = sum(map(len, parts)) // _WIDE
    if not count:
        return 0
    shared = {"source_key": stream.source_key, "monitor_key": stream.monitor_key, "run_id": run_id, "decided_at": at}
    for (strategy, stratum), number in groups.items():
        own = chances[strategy, stratum]
        row = {"number": number, "strategy": strategy, "stratum": stratum}
        row["probability"] = own.pop() if len(own) == 1 else None
        connection.execute(build_insert(connection, unsampled_groups), [shared | row])
    return _merge(connection, stream, count, (entry for part in parts for entry in sorted(_split(part, _WIDE))))


def find_unsampled(connection: sa.Connection, stream: Stream, ids: Iterable[str]) -> set[str]:
    """Which of the ids were left out by a sample."""
    slots = _used_slots(connection, stream)
    if not slots:
        return set()
    known: set[str] = set()
    for part in chunks(sorted((_digest(each), each) for each in ids)):
        names = [digest.hex() for digest, _ in part]
        for slot in slots:
            pages = _find_pages(connection, stream, slot, names)
            firsts = sorted(pages)
            for name, (digest, each) in zip(names, part, strict=True):
                place = bisect_right(firsts, name)
                if place and _has_entry(pages[firsts[place - 1]], digest):
                    known.add(each)
    return known


def read_unsampled(connection: sa.Connection, stream: Stream, item_id: str) -> list[ItemHistory]:
    """What is known of an item that was left out: by its own id of all its versions, by that of a version of that one.

    Which version it was is not stored: all have the id that was asked for.
    """
    whole, own = _digest(item_id), sha256(_encode(item_id)).digest()[:_HALF]
    entries = [
        entry
        for slot in _used_slots(connection, stream)
        for half in {whole[:_HALF], own}
        for page in _pages_between(connection, stream, slot, half)
        for entry in _read_page(page)
        if entry.startswith((whole, own))
    ]
    numbers = {_group(entry) for entry in entries}
    found = sa.select(unsampled_groups).where(in_stream(unsampled_groups, stream), _G.number.in_(sorted(numbers)))
    groups = {row.number: row for row in connection.execute(found)}
    return [_history(stream, item_id, groups[_group(entry)], entry) for entry in dict.fromkeys(entries)]


def has_unsampled(connection: sa.Connection, stream: Stream) -> bool:
    """Whether samples of the stream have left out anything."""
    return connection.scalar(sa.select(sa.literal(1)).where(in_stream(unsampled_groups, stream)).limit(1)) is not None


def count_unsampled(connection: sa.Connection) -> int:
    """How many items of all streams were left out."""
    return _count(connection, sa.true())


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _digest(item_id: str) -> bytes:
    """128 bits of an id; versions of one item have the first half in common."""
    whole, own = sha256(_encode(item_id)).digest(), own_id(item_id)
    return whole[:_DIGEST] if own == item_id else sha256(_encode(own)).digest()[:_HALF] + whole[:_HALF]


def _pack(chance: float | None) -> bytes:
    """A probability in three bytes, exact to five digits; zeros for that of the group."""
    if chance is None:
        return _OWN
    whole = int.from_bytes(struct.pack(">f", chance), "big")
    return (whole + 0x80 >> 8).to_bytes(3, "big")


def _unpack(packed: bytes) -> float | None:
    value: float = struct.unpack(">f", packed + b"\x00")[0]
    return None if packed == _OWN else float(f"{value:.6g}")


def _split(entries: bytes | bytearray, width: int) -> list[bytes]:
    return [bytes(entries[start : start + width]) for start in range(0, len(entries), width)]


def _read_page(page: bytes) -> list[bytes]:
    """The entries of a page, all wide."""
    return _split(page[1:], _WIDE) if page[0] == _WIDE else [each + _OWN for each in _split(page[1:], _NARROW)]


def _make_pages(entries: Iterator[bytes]) -> Iterator[tuple[str, bytes]]:
    """Pages of entries in their order, each with the digest of its first."""
    waiting: list[bytes] = []
    while waiting := [*waiting, *islice(entries, _PAGE // _NARROW - len(waiting))]:
        narrow = all(each.endswith(_OWN) for each in waiting)
        width = _NARROW if narrow else _WIDE
        page, waiting = waiting[: _PAGE // width], waiting[_PAGE // width :]
        yield page[0][:_DIGEST].hex(), bytes([width]) + b"".join(each[:width] for each in page)


def _group(entry: bytes) -> int:
    return int.from_bytes(entry[_DIGEST : _DIGEST + 3], "big")


def _history(stream: Stream, item_id: str, group: Row, entry: bytes) -> ItemHistory:
    own = _unpack(entry[-3:])
    chance = group.probability if own is None else own
    made = Decision(item_id, False, chance, group.strategy, group.stratum)
    return ItemHistory(stream, made, group.run_id, group.decided_at, "undrawn", 0)


def _has_entry(page: bytes, digest: bytes) -> bool:
    place = page.find(digest, 1)
    while place > 0 and (place - 1) % page[0]:  # it may stand across two entries by chance
        place = page.find(digest, place + 1)
    return place > 0


def _in_slot(stream: Stream, slot: int) -> sa.ColumnElement[bool]:
    return sa.and_(in_stream(unsampled_pages, stream), _P.slot == slot)


def _used_slots(connection: sa.Connection, stream: Stream) -> list[int]:
    each = (sa.exists().where(_in_slot(stream, slot)).label(f"slot_{slot}") for slot in range(_SLOTS))
    return [slot for slot, used in enumerate(connection.execute(sa.select(*each)).one()) if used]


def _find_pages(connection: sa.Connection, stream: Stream, slot: int, names: Sequence[str]) -> dict[str, bytes]:
    """The pages where entries of these digests would stand, by their first. Two statements, for a database without
    statistics might read the whole slot for one."""
    listed = _listed(connection, names)
    last = sa.select(sa.func.max(_P.first)).where(_in_slot(stream, slot), _P.first <= listed.c.value)
    firsts = connection.scalars(sa.select(last.scalar_subquery()).select_from(listed).distinct())
    wanted = [each for each in firsts if each is not None]
    pages = sa.select(_P.first, _P.entries).where(_in_slot(stream, slot), is_in(connection, _P.first, wanted))
    return {row.first: row.entries for row in connection.execute(pages)}


def _listed(connection: sa.Connection, names: Sequence[str]) -> sa.TableValuedAlias:
    if connection.dialect.name == "sqlite":
        return sa.func.json_each(json.dumps(names)).table_valued("value")
    array = sa.cast(list(names), postgresql.ARRAY(sa.Text))
    return sa.func.unnest(array).table_valued(sa.column("value", sa.Text)).render_derived()


def _pages_between(connection: sa.Connection, stream: Stream, slot: int, half: bytes) -> Iterable[bytes]:
    """The pages with the digests that begin so."""
    low, high = (half + end * (_DIGEST - _HALF) for end in (b"\x00", b"\xff"))
    last = sa.select(sa.func.max(_P.first)).where(_in_slot(stream, slot), _P.first <= low.hex())
    first = connection.scalar(last) or low.hex()
    between = sa.and_(_in_slot(stream, slot), _P.first >= first, _P.first <= high.hex())
    return connection.scalars(sa.select(_P.entries).where(between)).all()


def _merge(connection: sa.Connection, stream: Stream, count: int, fresh: Iterator[bytes]) -> int:
    """Write entries in the order of their digests, together with those of the levels that they fill up; how many."""
    level, used = 0, set(_used_slots(connection, stream))
    filled: list[int] = []
    while True:
        here = {2 * level, 2 * level + 1} & used
        filled += here
        count += sum(_count(connection, _in_slot(stream, each)) for each in here)
        if count <= _FIRST_LEVEL * _GROWTH**level or 2 * (level + 1) >= _SLOTS:
            break
        level += 1
    target = 2 * level + (2 * level in used)
    merged = heapq.merge(fresh, *(_take_entries(connection, stream, slot) for slot in filled))
    key = {"source_key": stream.source_key, "monitor_key": stream.monitor_key, "slot": target}
    for some in chunks(_make_pages(merged), _READ):
        rows = [key | {"first": first, "entries": page} for first, page in some]
        connection.execute(build_insert(connection, unsampled_pages), rows)
    return count


def _count(connection: sa.Connection, where: sa.ColumnElement[bool]) -> int:
    width = sa.case((sa.func.substr(_P.entries, 1, 1) == bytes([_WIDE]), _WIDE), else_=_NARROW)
    count = sa.select(sa.func.sum((sa.func.length(_P.entries) - 1) // width)).where(where)
    return int(connection.scalar(count) or 0)


def _take_entries(connection: sa.Connection, stream: Stream, slot: int) -> Iterator[bytes]:
    """The entries of a slot in their order; pages are deleted as they are read, so that their room is used again."""
    query = sa.select(_P.first, _P.entries).where(_in_slot(stream, slot)).order_by(_P.first).limit(_READ)
    while rows := connection.execute(query).all():
        connection.execute(sa.delete(unsampled_pages).where(_in_slot(stream, slot), _P.first <= rows[-1].first))
        for row in rows:
            yield from _read_page(row.entries)
