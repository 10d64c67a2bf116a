"""Drives the unmodified canal-python against a server, and prints what that client saw.

Called through `drive`, which provides the packages; the options and the output are described in
tests/README.md and are the same for the Java client.
"""

import argparse
import contextlib
import json
import sys
import time

from canal.client import Client
from canal.protocol import EntryProtocol_pb2 as entry_protocol

POLL_SECONDS = 0.005
EXIT_INCOMPLETE = 3


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True, metavar="HOST:PORT")
    parser.add_argument("--destination", default="example")
    parser.add_argument("--client-id", default="1001")
    parser.add_argument("--filter", default=".*\\..*")
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--mode", choices=["ack", "hold", "rollback"], default="ack")
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--until", default="", metavar="SCHEMA.TABLE")
    parser.add_argument("--idle-ms", type=int, default=20000)
    parser.add_argument("--count", action="store_true")
    return parser.parse_args()


def connected(options):
    host, port = options.server.rsplit(":", 1)
    client = Client()
    client.connect(host=host, port=int(port))
    client.check_valid(username=b"", password=b"")
    client.subscribe(
        client_id=options.client_id.encode(),
        destination=options.destination.encode(),
        filter=options.filter.encode(),
    )
    return client


def values(columns):
    return {c.name: None if c.isNull else c.value for c in columns}


def lines(entry):
    """The changes of one entry, as dictionaries: one for each row, or one for a statement."""
    header = entry.header
    change = entry_protocol.RowChange()
    change.MergeFromString(entry.storeValue)
    common = {
        "kind": entry_protocol.EventType.Name(change.eventType),
        "schema": header.schemaName,
        "table": header.tableName,
        "at": "%s:%d" % (header.logfileName, header.logfileOffset),
    }
    if not change.rowDatas:
        yield dict(common, ddl=change.isDdl, sql=change.sql)
    for row in change.rowDatas:
        columns = row.afterColumns or row.beforeColumns
        yield dict(
            common,
            before=values(row.beforeColumns),
            after=values(row.afterColumns),
            keys=[c.name for c in columns if c.isKey],
            updated=[c.name for c in row.afterColumns if c.updated],
            mysqlType={c.name: c.mysqlType for c in columns},
        )


class Tally:
    """What was seen so far, and whether that is all that was asked for."""

    def __init__(self, options):
        self.options = options
        self.entries = self.rows = self.bytes = 0
        self.first = None
        self.last = time.monotonic()
        self.marker_seen = False

    def add(self, entry, output):
        self.entries += 1
        self.bytes += entry.ByteSize()
        if entry.entryType != entry_protocol.EntryType.ROWDATA:
            return
        table = "%s.%s" % (entry.header.schemaName, entry.header.tableName)
        if table == self.options.until and entry.header.eventType == entry_protocol.EventType.INSERT:
            self.marker_seen = True
        if self.options.count:
            counts = [p.value for p in entry.header.props if p.key == "rowsCount"]
            self.rows += int(counts[0]) if counts else 0
            return
        for line in lines(entry):
            self.rows += "after" in line
            output.write(json.dumps(line, ensure_ascii=False) + "\n")

    def complete(self):
        return self.marker_seen or 0 < self.options.rows <= self.rows

    def idle(self):
        return (time.monotonic() - self.last) * 1000 > self.options.idle_ms

    def summary(self):
        seconds = self.last - self.first if self.first is not None else 0.0
        return {"entries": self.entries, "rows": self.rows, "bytes": self.bytes, "seconds": round(seconds, 3)}


def fetch(client, options, rolled_back):
    """One batch. In mode `rollback`, each is refused once and must come again."""
    message = client.get_without_ack(options.batch)
    if options.mode == "rollback" and message["id"] > 0 and not rolled_back:
        client.rollback(message["id"])
        return None
    return message


def drive(client, options, output):
    tally = Tally(options)
    rolled_back = False
    while not tally.complete() and not tally.idle():
        message = fetch(client, options, rolled_back)
        rolled_back = message is None
        if message is None:
            continue
        if not message["entries"]:
            time.sleep(POLL_SECONDS)
            continue
        if tally.first is None:
            tally.first = time.monotonic()
        for entry in message["entries"]:
            tally.add(entry, output)
        output.flush()
        if options.mode != "hold":
            client.ack(message["id"])
        tally.last = time.monotonic()
    return tally


def main():
    options = arguments()
    output = open(sys.stdout.fileno(), "w", encoding="utf-8", newline="\n", closefd=False)
    # The package tells of its steps on standard output, which belongs to the changes.
    with contextlib.redirect_stdout(sys.stderr):
        client = connected(options)
        print("SUBSCRIBED", file=sys.stderr, flush=True)
        tally = drive(client, options, output)
        client.disconnect()
    print(json.dumps(tally.summary()), file=output if options.count else sys.stderr, flush=True)
    wanted = bool(options.rows or options.until)
    return EXIT_INCOMPLETE if wanted and not tally.complete() else 0


if __name__ == "__main__":
    sys.exit(main())
