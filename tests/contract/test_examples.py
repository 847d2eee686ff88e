"""Every example of the documents is what the programs answer; every request in them succeeds."""

import json

import jwt
import pytest

from common.auth import ALGORITHMS, AUDIENCE
from tests.contract import story
from tests.contract.documents import DOCUMENTS, NAMES, answer_examples, operation_of, request_examples
from tests.contract.provokers import ANYWHERE, PROVOKERS
from tests.contract.scenes import SCENES, plain
from tests.contract_client import ResponseContract, parse_body

ANSWERS = [example for name in NAMES for example in answer_examples(name)]
REQUESTS = [example for name in NAMES for example in request_examples(name)]

# Where a code is not listed, with what gets it elsewhere.
UNLISTED = [
    (document, operation, code)
    for document, operation in dict.fromkeys(example[:2] for example in ANSWERS)
    for code in ANYWHERE
    if code not in {key for *owner, _, key in ANSWERS if owner == [document, operation]}
]

# Headers of the connection and the body, which no document lists.
TRANSPORT = {"content-type", "content-length"}


def label(value):
    return "none" if value is None else str(value)


def scene_of(document, operation, status, key):
    """Return the scene of an example: its own, else its code's, else the request that succeeds."""
    own = SCENES.get((document, operation, status, key))
    return own or (plain if status < 300 else PROVOKERS[key])


def media_of(response, key):
    """Return (media type, example's value or None) of the body that has this key; (None, None) for no content."""
    for media_type, media in response.get("content", {}).items():
        if key in media.get("examples", [None]):
            return media_type, media["examples"][key]["value"] if key else None
    return None, None


def bodies(example, answer, settings):
    """Return (example, answer) as texts that must be equal: JSON whole, other texts as far as the example goes."""
    if isinstance(example, dict):
        return _lines(example, settings), _lines(json.loads(answer.content), settings)
    return example or "", answer.content.decode()[: len(example or "")]


def _lines(document, settings):
    """Render JSON with its members in their order; a token as what it says."""
    if "token" in document:
        # Its id, and so its signature, differ each time; but the signature has to be ours.
        claims = jwt.decode(
            document["token"],
            settings.jwt_secrets[0],
            ALGORITHMS,
            {"verify_exp": False, "verify_iat": False},
            audience=AUDIENCE,
        )
        document = {**document, "token": [jwt.get_unverified_header(document["token"]), {**claims, "jti": "masked"}]}
    return json.dumps(document, ensure_ascii=False, indent=1)


def headers_that_differ(response, key, headers):
    """Return {header: (documented, sent)} of those that are missing, not documented, or not as their example says."""
    documented = {name.lower(): header for name, header in response.get("headers", {}).items()}
    required = {name for name, header in documented.items() if header.get("required")}
    # A header that has examples comes with these answers, as it stands there, and with no others.
    shown = {
        name: str(header["examples"][key]["value"]) if key in header["examples"] else None
        for name, header in documented.items()
        if "examples" in header and key is not None
    }
    return {
        **dict.fromkeys(required - headers.keys(), ("required", None)),
        **{name: (None, headers[name]) for name in headers.keys() - documented.keys() - TRANSPORT},
        **{name: (value, headers.get(name)) for name, value in shown.items() if headers.get(name) != value},
    }


@pytest.mark.parametrize(("document", "operation", "status", "key"), ANSWERS, ids=label)
def test_example_is_what_the_program_answers(world, settings, document, operation, status, key):
    response = operation_of(document, operation)[2]["responses"][str(status)]
    media_type, example = media_of(response, key)
    scene = scene_of(document, operation, status, key)
    story.prepare(world, operation)

    answer = scene(world, story.call(document, operation).but(headers=story.request_id(example)))
    shown, answered = bodies(example, answer, settings)

    assert answer.status == status
    assert answer.headers.get("content-type", "").partition(";")[0] == (media_type or "")
    assert answered == shown
    assert headers_that_differ(response, key, answer.headers) == {}


@pytest.mark.parametrize(("document", "operation", "key"), REQUESTS, ids=label)
def test_example_of_a_request_succeeds(world, document, operation, key):
    story.prepare(world, operation)

    answer = world.send(story.call(document, operation, key))

    assert answer.status in (200, 201)


@pytest.fixture(scope="module")
def contracts():
    return {
        name: ResponseContract(DOCUMENTS[name], "OrchestratorProblem" if name == "orchestrator" else "Problem")
        for name in NAMES
    }


@pytest.mark.parametrize(("document", "operation", "code"), UNLISTED, ids=label)
def test_what_gets_a_code_elsewhere_is_answered_as_documented(world, contracts, document, operation, code):
    call = story.call(document, operation)
    story.prepare(world, operation)

    answer = PROVOKERS[code](world, call)

    body = parse_body(answer.headers.get("content-type", ""), answer.content)
    contracts[document].check(call.method, call.path, answer.status, answer.headers, body)


def operations_that_answer(code):
    return pytest.mark.parametrize(
        ("document", "operation"), [example[:2] for example in ANSWERS if example[3] == code], ids=label
    )


@operations_that_answer("insufficient_scope")
def test_challenge_names_the_scope_that_the_operation_needs(world, document, operation):
    security = operation_of(document, operation)[2]["security"]
    ((scope,),) = [scheme["operatorToken"] for scheme in security if "operatorToken" in scheme]

    answer = PROVOKERS["insufficient_scope"](world, story.call(document, operation))

    challenge = f'Bearer realm="b2b", error="insufficient_scope", scope="{scope}"'
    assert answer.headers["www-authenticate"] == challenge


@operations_that_answer("caller_not_allowed")
def test_other_kind_of_token_is_told_of_no_scope(world, document, operation):
    answer = PROVOKERS["caller_not_allowed"](world, story.call(document, operation))

    assert "www-authenticate" not in answer.headers


def test_every_scene_is_of_an_example():
    assert SCENES.keys() - set(ANSWERS) == set()
    assert PROVOKERS.keys() - {key for _, _, _, key in ANSWERS} == set()
