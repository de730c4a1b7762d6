#!/usr/bin/env python3
"""A vmtest-vz that has no framework at all, for what the fake one never does: VZ_STAND_IN in the
environment is a JSON object of what it is to do wrong.

  protocol: N             greets with another version
  refuse: {OP: ERROR}     answers so
  die: OP, last_words: S  ends at this request, with a line on standard error
  fail: [OP, ERROR]       tells the event `failed` some time after this request was carried out
  say: [OP, TEXT]         answers with these bytes
  silent: OP              never answers
  host: {NAME: VALUE}     says this of its host
  record: FILE            each request is a line of it
  host: OBJECT            what it tells of its host otherwise
"""
import json
import os
import select
import socket
import sys
import time

WRONG = json.loads(os.environ.get("VZ_STAND_IN", "{}"))
AFTER = {"create": "stopped", "start": "running", "pause": "paused", "resume": "running",
         "restore": "paused", "stop": "stopped", "quit": "stopped", "save": None}
HOST = {"supported": True, "fake": True, "os_version": "15.1",
        "arch": {"aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
        "min_cpus": 1, "max_cpus": 8, "min_memory": 1 << 20, "max_memory": 1 << 34, "nested": False,
        "rosetta": "not_supported", "bridges": []} | WRONG.get("host", {})
state = "none"


def send(connection, message):
    connection.sendall((json.dumps(message) + "\n").encode())


def carry_out(connection, request):
    global state
    op = request["op"]
    if "record" in WRONG:
        with open(WRONG["record"], "a", encoding="utf-8") as file:
            file.write(json.dumps(request) + "\n")
    if WRONG.get("die") == op:
        print(WRONG.get("last_words", ""), file=sys.stderr, flush=True)
        os._exit(1)
    if WRONG.get("silent") == op:
        return
    if WRONG.get("say", [""])[0] == op:
        connection.sendall(WRONG["say"][1].encode())
        return
    reply = {"id": request["id"], "ok": op not in WRONG.get("refuse", {})}
    if reply["ok"]:
        state = AFTER.get(op) or state
        reply |= HOST | WRONG.get("host", {}) if op == "host" else {}
        reply |= {"machine_identifier": "bWFjaGluZQ==", "macs": ["02:00:00:11:22:33"]} if op == "create" else {}
        if op == "create":
            open(request["config"]["console"]["path"], "a").close()
        if op == "save":
            with open(request["path"], "x", encoding="utf-8") as file:
                file.write("saved")
    else:
        reply["error"] = WRONG["refuse"][op]
    send(connection, reply | {"state": state})
    if WRONG.get("fail", [""])[0] == op:
        time.sleep(0.2)
        send(connection, {"event": "failed", "error": WRONG["fail"][1]})


def main():
    tie, words = None, sys.argv[1:]
    while len(words) > 1:
        option, value = words.pop(0), words.pop(0)
        tie = int(value) if option == "--tie" else tie
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(words[0])
    listener.listen()
    connection, _ = listener.accept()
    send(connection, {"event": "hello", "protocol": WRONG.get("protocol", 1), "version": "stand-in",
                      "pid": os.getpid(), "state": state, "fake": True})
    pending = b""
    while True:
        ready, _, _ = select.select([connection] + ([tie] if tie else []), [], [])
        if tie in ready:
            break
        data = connection.recv(65536)
        if not data:
            break
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            carry_out(connection, json.loads(line))
    os.unlink(words[0])


main()
