"""The documents' descriptions: each request that they show, in order, gives the answer that stands below it."""

import re

import pytest
import yaml

from tests.system.conftest import ROOT

# What is another text each time; within one description it is always the same.
VARYING = ("1207", "pX3vN0cQ8mJt5LkzMg", '"3"', '"4"')


def exchanges(name):
    """Return [(request, expected answer)] of a document's description."""
    description = yaml.safe_load((ROOT / "openapi" / f"{name}.yaml").read_text())["info"]["description"]
    blocks = re.findall(r"```http\n(.*?)```", description, re.DOTALL)
    return list(zip(blocks[::2], blocks[1::2], strict=True))


def send(session, base, text):
    head, _, body = text.partition("\n\n")
    (method, path), *headers = [line.split(" ", 1) for line in head.splitlines()]
    headers = {name.removesuffix(":"): value for name, value in headers}
    content_type = {"Content-Type": "application/json"} if body else {}
    return session.request(method, base + path, headers=headers | content_type, data=body.strip(), timeout=30)


def shown(response, expected):
    """Return the answer with the headers that the expected one has, and always that of a replay."""
    names = re.findall(r"^([A-Za-z-]+): ", expected.partition("\n\n")[0], re.MULTILINE)
    names += ["Idempotent-Replayed"] * (
        "Idempotent-Replayed" in response.headers and "Idempotent-Replayed" not in names
    )
    lines = [str(response.status_code), *(f"{name}: {response.headers[name]}" for name in names)]
    return "\n".join(lines) + f"\n\n{response.text}"


def pattern_of(expected):
    """Return what matches the expected answer: `…` stands for anything, a varying text for one value.

    The body is one line, however it is broken up there.
    """
    head, body = expected.strip().split("\n\n")
    expected = head + "\n\n" + "".join(line.strip() for line in body.splitlines())
    pattern = ".*?".join(re.escape(part) for part in expected.split("…"))
    for number, text in enumerate(VARYING):
        first, *others = pattern.split(re.escape(text))
        if others:
            pattern = first + rf'(?P<v{number}>"?[\w-]+"?)' + f"(?P=v{number})".join(others)
    return re.compile(pattern, re.DOTALL)


def known_in(text, known):
    """Return a text of a description with the values that are known by now."""
    for varying, value in known.items():
        text = text.replace(varying, value)
    return text


@pytest.mark.parametrize(("name", "least"), [("customers", 9), ("orders", 9), ("orchestrator", 3)])
def test_each_request_gives_the_answer_that_stands_below_it(stack, operator, name, least):
    known, shown_answers = {}, exchanges(name)
    for request_as_shown, answer_as_shown in shown_answers:
        request, expected = known_in(request_as_shown, known), known_in(answer_as_shown, known)
        answer = shown(send(operator.session, getattr(stack, name), request), expected)

        match = pattern_of(expected).fullmatch(answer.strip())

        assert match, f"{request}\n{answer}\ninstead of\n{expected}"
        known |= {VARYING[int(group[1:])]: value for group, value in match.groupdict().items()}
    assert len(shown_answers) >= least
