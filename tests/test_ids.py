"""Identifiers."""

from lib.ids import new_id, unguessable_id


def test_ids_are_version_7_and_ascend() -> None:
    made = [new_id() for _ in range(1000)]
    assert {made_id.version for made_id in made} == {7}
    assert made == sorted(set(made))


def test_an_unguessable_id_shares_nothing_with_its_neighbour_but_the_time() -> None:
    made = [unguessable_id() for _ in range(2000)]
    assert {(made_id.version, made_id.variant) for made_id in made} == {(7, "specified in RFC 4122")}
    middles = {made_id.int >> 32 & 0xFFFF_FFFF for made_id in made}
    assert len(middles) > 1990
