"""Checks of ours that schemathesis runs beside its own; it loads this file, nothing imports it."""

import schemathesis


@schemathesis.check
def valid_request_is_malformed_only_beyond_schemas(ctx, response, case):
    """A 400 to a valid request names a rule that OpenAPI has no words for, and none that it has."""
    is_valid = case.meta is not None and case.meta.generation.mode.is_positive
    if not is_valid or response.status_code != 400:
        return
    problem = response.json()
    if problem["code"] == "invalid_cursor":
        return  # a cursor is signed
    beyond = {(pointer, "type") for pointer in _whole_floats(case.body, "#")}
    wrong = [error for error in problem.get("errors", ()) if (error["pointer"], error["code"]) not in beyond]
    assert (problem["code"], wrong) == ("invalid_request", []), f"refused: {problem}"


def _whole_floats(node, pointer):
    """Return where the body has 1.0, which JSON Schema counts among the integers and we do not: cents are exact."""
    if isinstance(node, float) and node.is_integer():
        return {pointer}
    if isinstance(node, dict | list):
        parts = node.items() if isinstance(node, dict) else enumerate(node)
        return set().union(*(_whole_floats(part, f"{pointer}/{name}") for name, part in parts))
    return set()
