#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""telemetry.py SOCKET COMMAND: ask a DPDK program, e.g. "/ethdev/stats,0"; prints "key value" lines.

An array has its values on one line. Exit 1: nobody is there, or it knows no answer.
"""
import json
import socket
import sys


def main():
    path, command = sys.argv[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(10)
            s.connect(path)
            longest = json.loads(s.recv(1024))["max_output_len"]
            s.send(command.encode())
            answer = json.loads(s.recv(longest))[command.split(",")[0]]
    except (OSError, ValueError, KeyError) as e:
        print(f"telemetry: {path}: {e}", file=sys.stderr)
        return 1
    if not isinstance(answer, dict):
        return 1
    for key, value in answer.items():
        print(key, *(value if isinstance(value, list) else [value]))
    return 0


sys.exit(main())
