"""What many answers have in common."""

from collections import Counter


def statuses(answers):
    """Return how many answers have each status: `{200: 20}`."""
    return dict(Counter(answer.status_code for answer in answers))


def outcomes(answers):
    """Return how many answers have each status, refusals by their code: `{201: 5, "sku_taken": 7}`."""
    return dict(Counter(answer.json.get("code", answer.status_code) for answer in answers))


def bodies(answers):
    """Return the different bodies, byte for byte."""
    return {answer.content for answer in answers}


def replays(answers):
    """Return how many answers say that they repeat an earlier one."""
    return sum(answer.headers.get("Idempotent-Replayed") == "true" for answer in answers)
