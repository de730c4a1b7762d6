"""What the tests of scripts/audit-vz-contract share."""
import pathlib
import subprocess
import sys

AUDIT = pathlib.Path(__file__).resolve().parent.parent.parent / "scripts/audit-vz-contract"


def audit(against, folder):
    run = subprocess.run([AUDIT, against, folder], capture_output=True, text=True, check=False)
    return run.returncode, run.stdout + run.stderr


def check_planted(planted, against, folder):
    """Each difference is told. It is (a file below the folder, what is there, what is put in its place, what has
    to be told)."""
    for file, old, new, words in planted:
        source = next(folder.rglob(file))
        text = source.read_text(encoding="utf-8")
        if old not in text:
            sys.exit(f"{file} has nothing like: {old}")
        source.write_text(text.replace(old, new), encoding="utf-8")
        code, said = audit(against, folder)
        source.write_text(text, encoding="utf-8")
        if code != 1 or words not in said:
            sys.exit(f"\"{words}\" was not told:\n{said[:3000]}")
        print("told:", words)
