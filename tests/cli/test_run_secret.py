"""The key of a model server is in no byte that a run writes or prints, whatever the server does with it, and with all logs on."""

import subprocess
import sys

import pytest

from orbiter.testing import ChatServer, Reply, chat

SECRET = "sk-planted/5ecr3t-0123456789"
RECIPE = """\
name: sampled
rounds: 1
environment: {{name: addition, digits: 6}}
policy: {{name: openai, base_url: "{url}", model: m, api_key_env: THE_KEY, retries: 1, retry_wait_s: 0.001, {options}}}
generate: {{tasks: 30, samples: 1}}
evaluate: {{tasks: 0, share: 0, audit: 0}}
curate: {{decontaminate: null}}
gates: {{max_invalid_rate: 1}}
verify: {{workers: 0}}
"""
SCRIPT = """\
import logging, sys
logging.basicConfig(level=logging.DEBUG)
from orbiter.cli import main
sys.exit(main(sys.argv[1:]))
"""
ECHO = f'you sent {{"Authorization": "Bearer {SECRET}"}}'
REPLIES = [
    Reply(status=500, body=ECHO.encode()),
    Reply(status=400, body={"error": ECHO}),
    Reply(status=429, body={"error": {"message": "x" * 180 + SECRET}}),
    Reply(body=ECHO.encode(), headers={"Content-Type": "text/html"}),
    Reply(body=chat(ECHO)),
    Reply(body=chat("579", reasoning_content=ECHO)),
    Reply(body=chat("579", finish_reason=SECRET)),
    Reply(body=chat("579", role=SECRET)),
    Reply(body={**chat("579"), "model": SECRET}),
    Reply(body=chat(ECHO), share=0.9),
    Reply(body=b"", headers={"Content-Length": SECRET}),
    Reply(body=b"", headers={"Content-Encoding": SECRET}),
    Reply(status=307, body=b"", headers={"Location": f"http://127.0.0.1:9/{SECRET}"}),
    Reply(status=503, body=b"", headers={"Retry-After": SECRET}),
    Reply(body=b"", headers={f"{SECRET}\x00": "x"}),
]


@pytest.mark.parametrize("end", [None, 401])
def test_nothing_shows_the_key(tmp_path, end):
    def answer(asked):
        number = len(server.asked)
        if end is not None and number > 2:
            return Reply(status=end, body=ECHO.encode())
        return REPLIES[number % len(REPLIES)] if number % 7 else "579"

    with ChatServer(answer) as server:
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(RECIPE.format(url=server.url, options="concurrency: 4"))
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT, "run", str(recipe)],
            env={"THE_KEY": SECRET, "PATH": "", "ORBITER_TRACEBACK": "1"},
            cwd=tmp_path,
            capture_output=True,
            timeout=120,
            check=False,
        )
    assert all(SECRET.encode() in head for head in server.headers)
    assert run.returncode == (0 if end is None else 1), run.stderr.decode()
    shown = run.stdout + run.stderr
    assert b"DEBUG:asyncio" in shown
    if end is None:
        assert len(server.asked) >= 30
        assert (tmp_path / "runs/sampled/report.html").exists()
    else:
        assert b"[key]" in shown
    written = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert len(written) > 4
    for data in (shown, *(path.read_bytes() for path in written)):
        assert SECRET.encode() not in data
        assert SECRET[:12].encode() not in data  # nor a part of it
        assert SECRET.replace("/", "\\/").encode() not in data
