"""Recovery codes."""

import re

from lib.auth import recovery


def test_ten_codes_are_made_of_eighty_random_bits_each() -> None:
    made = [code for _ in range(100) for code in recovery.new_codes()]
    assert len(set(made)) == len(made) == 1000
    assert all(re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){3}", code) for code in made)
    assert set("".join(made)) == set("0123456789ABCDEFGHJKMNPQRSTVWXYZ-")


def test_what_looks_alike_is_the_same_character() -> None:
    assert recovery.hash_of("0011" * 4) == recovery.hash_of("OOIL" * 4) == recovery.hash_of("O0LI" * 4)


def test_another_code_is_another() -> None:
    assert recovery.hash_of("0" * 16) != recovery.hash_of("0" * 15 + "1")
