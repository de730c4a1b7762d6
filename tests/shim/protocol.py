#!/usr/bin/env python3
"""protocol.md, operation by operation, on the helper over the fake framework.

protocol.py [TEST...]"""
import sys
import time
import traceback

import protocol_devices
import protocol_features
import protocol_life
import protocol_process
from helper import Folder, Helper

THEMES = (protocol_process, protocol_life, protocol_devices, protocol_features)


def main():
    tests = {name: function for module in THEMES for name, function in vars(module).items()
             if name.startswith("test_")}
    wanted = sys.argv[1:] or list(tests)
    failed = 0
    for name in wanted:
        folder = Folder()
        start = time.monotonic()
        try:
            tests[name](folder)
            print(f"{name}: ok ({time.monotonic() - start:.1f} s)", flush=True)
        except Exception:  # the other tests are run all the same
            failed += 1
            print(f"{name}: FAILED", flush=True)
            traceback.print_exc(file=sys.stdout)
        finally:
            Helper.kill_all()
            folder.cleanup()
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
