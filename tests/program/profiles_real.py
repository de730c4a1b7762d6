#!/usr/bin/env python3
"""vmtest profile … on Apple's schema and on real profiles, which $VMTEST_DATA holds (default:
../shared/data beside the checkout)."""
import json
import os
import pathlib
import plistlib

import vt

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("VMTEST_DATA", ROOT / ".." / "shared" / "data")).resolve()
RELEASE = DATA / "apple-device-management" / "release-15.1"
SEED = DATA / "apple-device-management" / "seed-15.2"
PROFILES = DATA / "profiles" / "rtrouton"
FACTS = ROOT / "engine" / "profile" / "facts" / "macos-15.1.facts"


def need(folder):
    if not folder.is_dir():
        vt.skip(f"no corpus: {folder} (VMTEST_DATA says where it is)")


def run(at, *args):
    result = at.run("profile", *args)
    return result.returncode, result.stdout


def shipped_is_compiled():
    """The table that ships is what the schema compiles to."""
    with vt.Home() as at:
        code, text = run(at, "schema", "--name", "15.1", str(RELEASE))
        vt.equal(code, 0)
        vt.check(text == FACTS.read_text(encoding="utf-8"),
                 f"{FACTS} is out of date; this renews it: vmtest profile schema --name 15.1 "
                 f"-o {FACTS} {RELEASE}")


def no_false_error():
    with vt.Home() as at:
        code, text = run(at, "lint", "--json", "--os", "15.1", str(PROFILES))
        errors = [f for f in json.loads(text) if f["severity"] == "error"]
        vt.equal((code, errors), (0, []))
        vt.equal(run(at, "lint", "--json", "--os", "15.1", "--schema", str(RELEASE), str(PROFILES)),
                 (code, text), "the checkout says the same as the table")


def booleans():
    """The kinds of top-level keys by payload type, from the table itself."""
    subs, lists = {}, []
    for line in FACTS.read_text(encoding="utf-8").splitlines():
        fields = line.split("\t")
        if fields[0] == "type":
            subs.setdefault(fields[1], []).append(int(fields[2].removeprefix("sub:")))
        elif fields[0] == "list":
            lists.append({})
        elif fields[0] == "key":
            lists[-1][fields[1]] = fields[2]
    return {kind: {k: t for s in sub for k, t in lists[s].items()} for kind, sub in subs.items()}


def true_errors():
    """Each boolean of each real profile made an integer is found, and nothing else."""
    kinds = booleans()
    with vt.Home() as at:
        changed, wanted = 0, []
        for path in sorted(PROFILES.glob("*.mobileconfig")):
            content = plistlib.loads(path.read_bytes().lstrip())
            before = changed
            for i, payload in enumerate(content["PayloadContent"]):
                for key, kind in kinds.get(payload["PayloadType"], {}).items():
                    if kind == "boolean" and isinstance(payload.get(key), bool):
                        payload[key] = int(payload[key])
                        wanted.append((path.name, f"PayloadContent[{i}].{key}"))
                        changed += 1
            if changed > before:
                (at.work / path.name).write_bytes(plistlib.dumps(content, sort_keys=False))
        vt.check(changed >= 30, f"only {changed} booleans in the corpus")
        code, text = run(at, "lint", "--json", ".")
        errors = [f for f in json.loads(text) if f["severity"] == "error"]
        vt.equal({f["rule"] for f in errors}, {"wrong-type"})
        vt.equal(sorted((pathlib.Path(f["file"]).name, f["path"]) for f in errors), sorted(wanted))
        vt.equal(code, 1)


def every_key_of_the_schema():
    """A payload with a value of the right type for every key has no finding of wrong types; one of
    the wrong type everywhere has one each."""
    right = {"string": "x", "integer": 1, "boolean": True, "real": 1.5, "array": [],
             "dictionary": {}, "data": b"x", "any": "x"}
    wrong = {"string": 1, "integer": "x", "boolean": 1, "real": "x", "array": "x",
             "dictionary": "x", "data": "x"}
    with vt.Home() as at:
        def found(values):
            payloads, count = [], 0
            for kind, keys in booleans().items():
                if kind in ("TopLevel", "CommonPayloadKeys"):
                    continue
                payload = {k: values[t] for k, t in keys.items()
                           if t in values and k != "ANY" and not k.startswith("Payload")}
                count += len(payload)
                payloads.append({**payload, "PayloadType": kind})
            (at.work / "a").write_bytes(plistlib.dumps(
                {"PayloadType": "Configuration", "PayloadContent": payloads}))
            text = run(at, "lint", "--json", "a")[1]
            return len([f for f in json.loads(text) if f["rule"] == "wrong-type"]), count
        vt.equal(found(right)[0], 0)
        errors, count = found(wrong)
        vt.check(count > 900, count)
        vt.equal(errors, count)


def same_is_no_difference():
    with vt.Home() as at:
        for path in sorted(PROFILES.glob("*.mobileconfig"))[::10]:
            (at.work / "b").write_bytes(plistlib.dumps(plistlib.loads(path.read_bytes().lstrip()),
                                                       fmt=plistlib.FMT_BINARY))
            vt.equal(run(at, "diff", str(path), "b"), (0, ""), path)


def seed():
    """What the seed of 15.2 brings for these profiles."""
    with vt.Home() as at:
        code, text = run(at, "forecast", "--json", "--from", "15.1", "--to", str(SEED),
                         str(PROFILES))
        found = {(f["rule"], f["path"].rpartition(".")[2]) for f in json.loads(text)}
        vt.equal(code, 0)
        vt.check(("forecast-added", "allowExternalIntelligenceIntegrations") in found, found)
        code, text = run(at, "forecast", "--json", "--from", "15.1", "--to", str(RELEASE),
                         str(PROFILES))
        vt.equal((code, json.loads(text)), (0, []))


for corpus in (RELEASE, SEED, PROFILES):
    need(corpus)
vt.main([shipped_is_compiled, no_false_error, true_errors, every_key_of_the_schema,
         same_is_no_difference, seed])
