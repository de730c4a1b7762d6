"""Configuration profiles: lint against Python's plistlib, which only parses."""
import os
import pathlib
import plistlib
import uuid

from common import VMTEST, WORK, alternately, ms, say

COPIES = 1000
PARSE = ("import plistlib,sys,pathlib\n"
         "for p in sorted(pathlib.Path(sys.argv[1]).glob('*.mobileconfig')):\n"
         "    plistlib.loads(p.read_bytes())\n")


def sources():
    """Real profiles where there are some, else one of the usual size."""
    data = os.environ.get("VMTEST_DATA", str(pathlib.Path(__file__).parents[3] / "shared" / "data"))
    found = sorted((pathlib.Path(data) / "profiles" / "rtrouton").glob("*.mobileconfig"))
    if found:
        return [p.read_bytes() for p in found]
    payload = {"PayloadType": "com.apple.applicationaccess", "PayloadVersion": 1,
               "PayloadUUID": str(uuid.uuid4()), "PayloadIdentifier": "x.y",
               **{f"allowCloud{k}": False for k in ("Bookmarks", "Mail", "Calendar", "Notes")}}
    return [plistlib.dumps({"PayloadType": "Configuration", "PayloadVersion": 1,
                            "PayloadUUID": str(uuid.uuid4()), "PayloadIdentifier": "x",
                            "PayloadContent": [payload]})]


def profile_lint():
    folder = WORK / "profiles"
    folder.mkdir()
    texts = sources()
    for i in range(COPIES):
        (folder / f"{i:04}.mobileconfig").write_bytes(texts[i % len(texts)])
    (WORK / "parse.py").write_text(PARSE)
    a, b = alternately(15, lambda: ms([VMTEST, "profile", "lint", str(folder)]),
                       lambda: ms(["python3", str(WORK / "parse.py"), str(folder)]))
    say(f"profile_lint_{COPIES}", "ms", a, "python3 plistlib, which only parses", b)
    say("profile_lint_rate", "files/s", [COPIES / t * 1000 for t in a])
