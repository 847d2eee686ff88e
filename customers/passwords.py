"""Operators' passwords: hashed with argon2id, and refused when they are easily guessed."""

from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

# OWASP Password Storage Cheat Sheet: argon2id with 19 MiB, 2 passes, 1 lane as the least.
# More memory would let a few logins at once push a worker out of its container.
_hasher = PasswordHasher(memory_cost=19_456, time_cost=2, parallelism=1)

# The memory of a hash stays with the thread that made it, so only two threads hash for all.
_hashing = ThreadPoolExecutor(2)

# What an unknown name is checked against, so that it takes the time of a known one.
_NOBODY = _hasher.hash("nobody has this password")

MIN_PASSWORD = 8  # characters (NIST SP 800-63B, 5.1.1.2)
MAX_PASSWORD = 200  # as in the contract

# zxcvbn's: the tries that somebody needs who knows the commonest passwords, words and names. 100 log-ins in five
# minutes from everywhere (logins.py) are a million in five weeks.
MIN_GUESSES = 1_000_000
# Characters. Of 72, as many as zxcvbn takes, an odd text would hold a processor for seconds; of 16, for 0.1 s.
_LOOKED_AT = 16
# Those of the demo operators stand in the README.
_PUBLISHED = ["demo-password", "viewer-password"]


def hash_password(password: str) -> str:
    """Return an argon2id string with its parameters and salt."""
    return _hashing.submit(_hasher.hash, password).result()


def is_right(password_hash: str | None, password: str) -> bool:
    """Return whether it is the hash's password; None, for a name that is unknown, takes as long."""
    try:
        _hashing.submit(_hasher.verify, password_hash or _NOBODY, password).result()
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None


def fault(password: str, username: str) -> str | None:
    """Return what is wrong with a password that somebody wants to set, or None."""
    # Here: it loads word lists for 30 ms, which the start of a function has no use for.
    from zxcvbn import zxcvbn  # noqa: PLC0415

    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        return f"must have {MIN_PASSWORD} to {MAX_PASSWORD} characters"
    if not password.isprintable():  # bytes that are no UTF-8 come as lone surrogates
        return "must be printable characters in UTF-8"
    if zxcvbn(password[:_LOOKED_AT], [username[:_LOOKED_AT], *_PUBLISHED])["guesses"] < MIN_GUESSES:
        return "must not be one that is easily guessed: a common one, a name, a date, a row of keys"
    return None
