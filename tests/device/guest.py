"""The handlers on a real guest (guest.lua), where there is the image "device"."""
import os
import pathlib
import subprocess
import sys
import tempfile

VMTEST = os.environ["VMTEST_PROGRAM"]

if subprocess.run([VMTEST, "image", "show", "device"], capture_output=True).returncode:
    print('SKIPPED: there is no image "device": vmtest image build device')
    sys.exit(77)
with tempfile.TemporaryDirectory(prefix="vmtest-device-") as folder:
    sys.exit(subprocess.run([VMTEST, "run", "-j", "1", "-o", folder + "/results",
                             pathlib.Path(__file__).with_name("guest.lua")]).returncode)
