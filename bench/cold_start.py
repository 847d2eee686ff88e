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
sys.path.insert(0, ".")
context = {"http": {"method": "GET", "path": "/health"}, "stage": "$default"}
event = {"version": "2.0", "rawPath": "/health", "rawQueryString": "", "headers": {}, "requestContext": context}
start = time.perf_counter()
handler = __import__(sys.argv[1], fromlist=["handle"])
imported = time.perf_counter()
result = handler.handle(event, None)
answered = time.perf_counter()
assert result["statusCode"] == 200, result
print(json.dumps([1000 * (imported - start), 1000 * (answered - imported)]), file=sys.stderr)
"""


def main():
    """Measure the zips in dist/ and print one table: medians, and the slowest in brackets."""
    print(f"{'':14} {'zip MB':>7} {'import ms':>12} {'first answer ms':>16}")
    for name, function in package.FUNCTIONS.items():
        path = package.DIST / f"{name}.zip"
        command = [package.PYTHON, "-I", "-B", "-c", SCRIPT, f"{function.folder}.handler"]
        runs = []
        with tempfile.TemporaryDirectory() as folder:
            zipfile.ZipFile(path).extractall(folder)
            for _ in range(ROUNDS):
                run = subprocess.run(command, cwd=folder, env={}, capture_output=True, text=True, check=True)
                runs.append(json.loads(run.stderr.splitlines()[-1]))
        imports, answers = (
            f"{statistics.median(column):.0f} ({max(column):.0f})" for column in zip(*runs, strict=True)
        )
        print(f"{name:14} {path.stat().st_size / 1e6:7.2f} {imports:>12} {answers:>16}")


if __name__ == "__main__":
    main()
