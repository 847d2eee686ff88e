"""The search condition: what the index is asked for, and the pattern that decides."""

import pytest

from common.search import contains_pattern, search_condition

COLUMNS = ("sku", "name")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("abc", "%abc%"),
        ("100%", "%100|%%"),
        ("a_b", "%a|_b%"),
        ("x|y", "%x||y%"),
        ("|%", "%|||%%"),
        ("a\\b", "%a\\b%"),
        ("", "%%"),
    ],
)
def test_special_characters_of_like_are_escaped(text, pattern):
    assert contains_pattern(text) == pattern


def test_no_search_matches_all():
    assert search_condition(COLUMNS, None) == ("TRUE", ())


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("laptop", '+"laptop"'),
        ("Laptop PRO", '+"laptop" +"pro"'),
        ("a laptop", '+"laptop"'),
        ('27" monitor', '+"27" +"monitor"'),
        ("+foo -bar*", '+"foo" +"bar"'),
        ("foo@example.test", '+"foo" +"example" +"test"'),
        ("smile😀face", '+"smile" +"face"'),
        ("東京", '+"東京"'),
        ("a_b cd", '+"cd"'),
    ],
)
def test_words_of_two_characters_and_more_are_looked_up_in_the_index(text, phrases):
    condition, values = search_condition(COLUMNS, text)

    assert condition == (
        "MATCH (sku, name) AGAINST (%s IN BOOLEAN MODE) AND (sku LIKE %s ESCAPE '|' OR name LIKE %s ESCAPE '|')"
    )
    assert values == (phrases, contains_pattern(text), contains_pattern(text))


@pytest.mark.parametrize("text", ["a", "%", "_", '"', "a b c", "😀", "++--", "x|y", "Ꟈ"])
def test_text_without_such_a_word_is_decided_by_like_alone(text):
    condition, values = search_condition(COLUMNS, text)

    assert condition == "(sku LIKE %s ESCAPE '|' OR name LIKE %s ESCAPE '|')"
    assert values == (contains_pattern(text),) * 2


@pytest.mark.parametrize("text", ["x' OR 1=1 --", '" +"', "%s", "\\"])
def test_text_is_never_part_of_the_condition(text):
    condition, values = search_condition(COLUMNS, text)

    assert condition.replace("sku", "").replace("name", "").count("%s") == len(values)
    assert text.strip("%s ") == "" or text not in condition
