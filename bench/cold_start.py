"""What a cold start of each Lambda function takes here: `make bench-cold-start`.

For each zip, unpacked, in new processes of the interpreter that it was built for: to
import the handler, and from there to its first answer (`GET /health`). Lambda adds what
it takes to start the sandbox and the interpreter, and has a slower or a faster processor.
"""

import json
import statistics
import subprocess
import tempfile
import zipfile

from aws import package

ROUNDS = 9

SCRIPT = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
event = json.loads(sys.argv[3])
start = time.perf_counter()
handler = __import__(sys.argv[2], fromlist=["handle"])
imported = time.perf_counter()
result = handler.handle(event, None)
answered = time.perf_counter()
assert result["statusCode"] == 200, result
print(json.dumps([1000 * (imported - start), 1000 * (answered - imported)]), file=sys.stderr)
"""
EVENT = {
    "version": "2.0",
    "rawPath": "/health",
    "rawQueryString": "",
    "headers": {},
    "requestContext": {"http": {"method": "GET", "path": "/health"}, "stage": "$default"},
    "isBase64Encoded": False,
}


def measure(folder, name, rounds=ROUNDS):
    """Return [(milliseconds to import, milliseconds from there to the first answer)], one for each process."""
    command = [package.PYTHON, "-I", "-B", "-c", SCRIPT, folder, package.FUNCTIONS[name].module, json.dumps(EVENT)]
    runs = [
        subprocess.run(command, cwd=folder, env={}, capture_output=True, text=True, check=True) for _ in range(rounds)
    ]
    return [tuple(json.loads(run.stderr.splitlines()[-1])) for run in runs]


def main():
    """Measure the zips in dist/ and print one table: medians, and the slowest in brackets."""
    print(f"{'':14} {'zip MB':>7} {'import ms':>12} {'first answer ms':>16}")
    for name in package.FUNCTIONS:
        path = package.DIST / f"{name}.zip"
        with tempfile.TemporaryDirectory() as folder:
            zipfile.ZipFile(path).extractall(folder)
            columns = list(zip(*measure(folder, name), strict=True))
        imports, answers = (f"{statistics.median(column):.0f} ({max(column):.0f})" for column in columns)
        print(f"{name:14} {path.stat().st_size / 1e6:7.2f} {imports:>12} {answers:>16}")


if __name__ == "__main__":
    main()
