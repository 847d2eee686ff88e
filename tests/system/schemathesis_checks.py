"""Checks of ours that schemathesis runs beside its own; it loads this file, nothing imports it."""

import schemathesis

# What a request that is valid by its schemas may be refused for all the same.
BEYOND_SCHEMAS = {
    "invisible",  # a text in which nothing can be seen
    "min_length",  # nothing is left of it without the white space at its ends
    "format",  # a day that there isn't
    "maximum",  # a place beyond the end of the feed
    "reserved",  # a name that is no operator's
    "password",  # one that is easily guessed
}


@schemathesis.check
def valid_request_is_malformed_only_beyond_schemas(ctx, response, case):
    """A 400 to a valid request names a rule that OpenAPI has no words for, and none that it has."""
    is_valid = case.meta is not None and case.meta.generation.mode.is_positive
    if not is_valid or response.status_code != 400:
        return
    problem = response.json()
    if problem["code"] == "invalid_cursor":
        return  # a cursor is signed
    wrong = [error for error in problem.get("errors", ()) if error["code"] not in BEYOND_SCHEMAS]
    assert (problem["code"], wrong) == ("invalid_request", []), f"refused: {problem}"


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Do nothing to the operator who asks: whoever ends his own tokens gets nothing but 401 from then on."""
    if case.path_parameters.get("username") == "fuzzer":
        case.path_parameters["username"] = "other"


@schemathesis.hook
def filter_failure(ctx, failure, case, response):
    """Drop that a text of a wrong length was accepted: a schema counts the white space at its ends, and we do not.

    Where a text may be null, an empty one is. And drop that an address was too long: the server says so before it knows
    of which operation.
    """
    if response.status_code == 414:
        return False
    texts = [*(case.query or {}).values(), *(case.body.values() if isinstance(case.body, dict) else ())]
    is_trimmed = all(text and text == text.strip() for text in texts if isinstance(text, str))
    return is_trimmed or failure.code != "ST201"
