#!/usr/bin/env python3
"""vmtest profile …: each command on profiles made here."""
import json
import pathlib
import plistlib
import re
import shutil
import subprocess
import uuid
import xml.etree.ElementTree as ET

import vt

HEADER = {"PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": "org.example.p",
          "PayloadScope": "System"}


def payload(kind, **keys):
    return {"PayloadType": kind, "PayloadVersion": 1, "PayloadUUID": str(uuid.uuid4()),
            "PayloadIdentifier": f"org.example.{kind}.{len(keys)}", **keys}


def profile(*payloads, **keys):
    return {**HEADER, "PayloadUUID": str(uuid.uuid4()), "PayloadContent": list(payloads), **keys}


DOCK = "com.apple.dock"


class Folder(vt.Home):
    def put(self, name, content, fmt=plistlib.FMT_XML):
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else plistlib.dumps(content, fmt=fmt)
        path.write_bytes(data)
        return name

    def lint(self, *args, code=None, **kwargs):
        result = self.run("profile", "lint", "--json", *args, **kwargs)
        if code is not None:
            vt.equal(result.returncode, code, result.stdout, result.stderr)
        return json.loads(result.stdout)


def rules(findings):
    return sorted(f["rule"] for f in findings)


def clean():
    with Folder() as at:
        at.put("a.mobileconfig", profile(payload(DOCK, orientation="left", autohide=True)))
        vt.equal(at.lint("a.mobileconfig", code=0), [])
        result = at.run("profile", "lint", "a.mobileconfig")
        vt.equal((result.returncode, result.stdout), (0, ""))
        vt.equal(result.stderr, "1 profile: 0 errors, 0 warnings, 0 notes\n")


def one_finding(rule, content, severity, path, part, *args):
    with Folder() as at:
        at.put("a.mobileconfig", content)
        found = [f for f in at.lint("a.mobileconfig", *args, code=1 if severity == "error" else 0)
                 if f["rule"] == rule]
        vt.equal(len(found), 1, rule, found)
        vt.equal((found[0]["severity"], found[0]["path"]), (severity, path))
        vt.contains(found[0]["message"] + " " + found[0].get("hint", ""), part)
        return found[0]


def each_rule():
    """Each rule of lint by a profile that has just that wrong."""
    first = "PayloadContent[0]"
    dock = payload(DOCK)
    for found, args in [
        (("wrong-type", profile(payload(DOCK, autohide=1)), "error", f"{first}.autohide",
          "write <true/>"), ()),
        (("unknown-key", profile(payload(DOCK, autohyde=True)), "warning", f"{first}.autohyde",
          'did you mean "autohide"?'), ()),
        (("unknown-type", profile(payload("com.apple.dokc")), "warning", first,
          'did you mean "com.apple.dock"'), ()),
        (("not-in-list", profile(payload(DOCK, orientation="lfet")), "error",
          f"{first}.orientation", 'did you mean "left"?'), ()),
        (("out-of-range", profile(payload(DOCK, tilesize=1000)), "error", f"{first}.tilesize",
          "16 to 128"), ()),
        (("missing-key", profile(payload("com.apple.security.scep")), "error", first,
          '"PayloadContent"'), ()),
        (("missing-version", profile({k: v for k, v in dock.items() if k != "PayloadVersion"}),
          "warning", first, "PayloadVersion"), ()),
        (("invalid-uuid", profile(payload(DOCK), PayloadUUID="not one"), "warning", "PayloadUUID",
          "uuidgen"), ()),
        (("duplicate-uuid", profile(dock, payload("com.apple.finder", PayloadUUID=dock["PayloadUUID"])),
          "error", "PayloadContent[1]", "PayloadContent[0]"), ()),
        (("duplicate-identifier", profile(dock, payload(
            "com.apple.finder", PayloadIdentifier=dock["PayloadIdentifier"])), "error",
          "PayloadContent[1]", "PayloadContent[0]"), ()),
        (("single-instance", profile(dock, payload(DOCK, autohide=True)), "error",
          "PayloadContent[1]", DOCK), ()),
        (("introduced-later", profile(payload("com.apple.applicationaccess",
                                              allowGenmoji=False)), "warning",
          f"{first}.allowGenmoji", "since macOS 15.0"), ("--os", "14.6")),
        (("deprecated", profile(payload("com.apple.systempreferences")), "warning", first,
          "since macOS 13.0"), ()),
        (("removed", profile(payload("com.apple.AIM.account"), PayloadScope="User"), "error", first,
          "10.14"), ()),
        (("not-on-macos", profile(payload("com.apple.homescreenlayout", Pages=[])), "warning",
          first, "not for macOS"), ()),
        (("wrong-channel", profile(payload("com.apple.TCC.configuration-profile-policy",
                                           Services={}), PayloadScope="User"), "error", first,
          "user channel"), ()),
        (("needs-user-approved-mdm", profile(payload(
            "com.apple.TCC.configuration-profile-policy", Services={})), "note", first,
          "approved"), ()),
        (("not-in-vm", profile(payload("com.apple.wifi.managed", SSID_STR="x")), "warning", first,
          "no Wi-Fi"), ()),
        (("encrypted", {**HEADER, "PayloadUUID": str(uuid.uuid4()), "IsEncrypted": True,
                        "EncryptedPayloadContent": b"x"}, "note", "", "encrypted"), ()),
        (("not-a-profile", {"a": 1}, "error", "", "no profile"), ()),
        (("blanks-before-xml", b" \n" + plistlib.dumps(profile(dock)), "note", "", "<?xml"), ()),
        (("duplicate-key", plistlib.dumps(profile(payload(DOCK, autohide=True))).replace(
            b"<key>autohide</key>", b"<key>autohide</key><false/><key>autohide</key>"), "warning",
          "", '"autohide"'), ()),
    ]:
        one_finding(*found, *args)


def policies():
    """A privacy policy's Allowed is required, unless Authorization stands in for it."""
    def policy(**keys):
        return profile(payload("com.apple.TCC.configuration-profile-policy", Services={
            "SystemPolicyAllFiles": [{"Identifier": "x", "IdentifierType": "bundleID",
                                      "CodeRequirement": "y", **keys}]}))
    where = "PayloadContent[0].Services.SystemPolicyAllFiles[0]"
    one_finding("missing-key", policy(), "error", where, '"Allowed"')
    one_finding("wrong-type", policy(Allowed=1), "error", where + ".Allowed", "integer where boolean")
    with Folder() as at:
        at.put("a.mobileconfig", policy(Authorization="Allow"))
        vt.equal(rules(at.lint("a.mobileconfig", code=0)), ["needs-user-approved-mdm"])


def recursive_schema():
    """A payload whose schema holds itself, as deep as a profile is."""
    item = {"Type": "Application", "BundleID": "x"}
    for _ in range(10):
        item = {"Type": "Folder", "Pages": [[item]]}
    with Folder() as at:
        at.put("a.mobileconfig", profile(payload("com.apple.homescreenlayout", Pages=[[item]])))
        found = [f for f in at.lint("a.mobileconfig", code=1) if f["rule"] == "not-in-list"]
        vt.equal([f["path"] for f in found],
                 ["PayloadContent[0].Pages[0][0]" + ".Pages[0][0]" * 10 + ".Type"])


def places():
    with Folder() as at:
        text = plistlib.dumps(profile(payload(DOCK, autohide=1)))
        line = text[:text.index(b"autohide")].count(b"\n") + 1
        at.put("a.mobileconfig", text)
        result = at.run("profile", "lint", "a.mobileconfig")
        vt.equal(result.returncode, 1)
        vt.contains(result.stdout, f"a.mobileconfig:{line}:4: error: integer where boolean is due: 1"
                                   " [wrong-type]\n    at PayloadContent[0].autohide\n")


def forms():
    """The same profile as XML in several encodings, binary and signed."""
    content = profile(payload(DOCK, autohide=1, note="ü" * 70000))
    xml = plistlib.dumps(content)
    with Folder() as at:
        at.put("xml.mobileconfig", xml)
        at.put("bom.mobileconfig", b"\xef\xbb\xbf" + xml)
        at.put("crlf.mobileconfig", xml.replace(b"\n", b"\r\n"))
        at.put("wide.mobileconfig",
               xml.decode().replace('encoding="UTF-8"', 'encoding="UTF-16"').encode("utf-16"))
        at.put("binary.mobileconfig", content, plistlib.FMT_BINARY)
        names = ["xml", "bom", "crlf", "wide", "binary"]
        if shutil.which("openssl"):
            subprocess.run("openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem "
                           "-subj /CN=Signer -days 2 && openssl smime -sign -binary -nodetach "
                           "-outform DER -signer c.pem -inkey k.pem -in xml.mobileconfig "
                           "-out signed.mobileconfig", shell=True, check=True, cwd=at.work,
                           capture_output=True)
            names.append("signed")
        for name in names:
            found = at.lint(f"{name}.mobileconfig", code=1)
            vt.equal(rules(found), ["unknown-key", "wrong-type"], name)
            vt.equal("line" in found[0], name != "binary", name)
            result = at.run("profile", "diff", "xml.mobileconfig", f"{name}.mobileconfig")
            vt.equal((result.returncode, result.stdout), (0, ""), name)
        if "signed" in names:
            shown = json.loads(at.run("profile", "show", "--json", "signed.mobileconfig").stdout)[0]
            vt.equal((shown["signed"], shown["signature_good"]), (True, True))
            vt.equal(shown["signers"][0]["subject"], "CN=Signer")
            data = (at.work / "signed.mobileconfig").read_bytes()
            at.put("forged.mobileconfig", data.replace(b"<integer>1<", b"<integer>0<"))
            vt.check("bad-signature" in rules(at.lint("forged.mobileconfig", code=1)))


def large():
    """Time grows with the size, not with its square."""
    content = profile(payload(DOCK, x=list(range(350000)),
                              y={f"k{i}": i for i in range(60000)}))
    with Folder() as at:
        for fmt in (plistlib.FMT_XML, plistlib.FMT_BINARY):
            at.put("a.mobileconfig", content, fmt)
            vt.equal(len(at.lint("a.mobileconfig", code=0, timeout=120)), 2)
            vt.equal(at.run("profile", "diff", "a.mobileconfig", "a.mobileconfig",
                            timeout=120).returncode, 0)


def unreadable():
    with Folder() as at:
        at.put("good.mobileconfig", profile(payload(DOCK)))
        at.put("bad.mobileconfig", b"<plist><dict><key>a</key><string>x/string></dict></plist>")
        found = at.lint("bad.mobileconfig", "good.mobileconfig", "missing.mobileconfig", code=2)
        vt.equal(rules(found), ["unreadable", "unreadable"])
        vt.equal((found[0]["line"], found[0]["column"]), (1, 45))
        vt.contains(found[0]["message"], "mismatched tag")
        vt.contains(found[1]["message"], "No such file")
        for args in (["lint", "."], ["lint"], ["lint", "--os", "x", "good.mobileconfig"],
                     ["lint", "--json", "--sarif", "good.mobileconfig"],
                     ["lint", "--schema", "nowhere", "good.mobileconfig"],
                     ["lint", "--fail-on", "never", "good.mobileconfig"],
                     ["diff", "good.mobileconfig"], ["diff", "-", "-"],
                     ["forecast", "good.mobileconfig"], ["lnit", "good.mobileconfig"]):
            if args == ["lint", "."]:
                (at.work / "empty").mkdir()
                args = ["lint", "empty"]
            result = at.run("profile", *args)
            vt.equal((result.returncode, result.stdout), (2, ""), args)
        vt.contains(at.run("profile", "lnit").stderr, "did you mean: vmtest profile lint")


def arguments():
    """A folder, standard input, and --fail-on."""
    with Folder() as at:
        at.put("in/b.mobileconfig", profile(payload(DOCK, autohide=1)))
        at.put("in/deep/a.mobileconfig", profile(payload(DOCK, autohyde=True)))
        at.put("in/other.txt", b"x")
        vt.equal([f["file"] for f in at.lint("in", code=1)],
                 ["in/b.mobileconfig", "in/deep/a.mobileconfig"])
        result = subprocess.run([str(pathlib.Path(vt.VMTEST).resolve()), "profile", "lint", "-"],
                                env=at.env, timeout=60, capture_output=True, cwd=at.work,
                                input=(at.work / "in/b.mobileconfig").read_bytes(), check=False)
        vt.equal(result.returncode, 1)
        vt.contains(result.stdout.decode(), "<stdin>:")
        for severity, code in (("error", 0), ("warning", 1), ("note", 1)):
            at.lint("--fail-on", severity, "in/deep", code=code)


def several_versions():
    with Folder() as at:
        at.put("a.mobileconfig", profile(payload("com.apple.applicationaccess", allowGenmoji=False)))
        found = at.lint("--os", "13.0,14.5,15.0,15.1", "a.mobileconfig", code=0)
        vt.equal([(f["rule"], f["os"]) for f in found],
                 [("introduced-later", "13.0"), ("introduced-later", "14.5")])
        for os_versions, told in (("15.1", False), ("15.1,27.0", True), ("9.0", False)):
            result = at.run("profile", "lint", "--os", os_versions, "a.mobileconfig")
            vt.equal("facts are those of macOS 15.1" in result.stderr, told, os_versions)


def documents():
    """SARIF and JUnit hold what the lines say."""
    with Folder() as at:
        at.put("a b.mobileconfig", profile(payload(DOCK, autohide=1, **{'x<&"ü': True})))
        at.put("c.mobileconfig", profile(payload(DOCK)))
        found = at.lint("a b.mobileconfig", "c.mobileconfig", code=1)
        sarif = json.loads(at.run("profile", "lint", "--sarif", "a b.mobileconfig").stdout)
        run = sarif["runs"][0]
        vt.equal((sarif["version"], run["tool"]["driver"]["name"]), ("2.1.0", "vmtest"))
        vt.equal(len(run["results"]), len(found))
        for result, finding in zip(run["results"], found):
            rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
            vt.equal((rule["id"], result["ruleId"]), (finding["rule"],) * 2)
            vt.equal(result["level"], finding["severity"])
            place = result["locations"][0]["physicalLocation"]
            vt.equal(place["artifactLocation"]["uri"], "a%20b.mobileconfig")
            vt.equal(place["region"], {"startLine": finding["line"],
                                       "startColumn": finding["column"]})
        junit = ET.fromstring(at.run("profile", "lint", "--junit", "a b.mobileconfig",
                                     "c.mobileconfig").stdout.encode())
        suite = junit.find("testsuite")
        vt.equal((suite.get("tests"), suite.get("failures")), ("2", "1"))
        cases = suite.findall("testcase")
        vt.equal([c.get("name") for c in cases], ["a b.mobileconfig", "c.mobileconfig"])
        vt.contains(cases[0].find("failure").text, "[wrong-type]")
        vt.contains(cases[0].find("system-out").text, 'x<&"ü')
        vt.check(cases[1].find("failure") is None)


def difference():
    cert = payload("com.apple.security.root", PayloadContent=b"DER")
    wifi = payload("com.apple.wifi.managed", SSID_STR="a", PayloadCertificateUUID=cert["PayloadUUID"])

    def renewed(one, **keys):
        return {**one, "PayloadUUID": str(uuid.uuid4()), **keys}
    other_cert = renewed(cert)
    other_wifi = renewed(wifi, PayloadCertificateUUID=other_cert["PayloadUUID"])
    with Folder() as at:
        at.put("a", profile(cert, wifi))
        at.put("b", profile(other_wifi, other_cert))  # another order, new UUIDs that refer alike
        result = at.run("profile", "diff", "a", "b")
        vt.equal((result.returncode, result.stdout), (0, ""))
        at.put("c", profile({**other_wifi, "SSID_STR": "c", "AutoJoin": False,
                             "PayloadCertificateUUID": str(uuid.uuid4())}, payload(DOCK)))
        result = at.run("profile", "diff", "--json", "a", "c")
        vt.equal(result.returncode, 1)
        changes = {c["path"]: (c["change"], c.get("old"), c.get("new"))
                   for c in json.loads(result.stdout)}
        where = "PayloadContent[1: com.apple.wifi.managed]."
        vt.equal(changes[where + "SSID_STR"], ("changed", "a", "c"))
        vt.equal(changes[where + "AutoJoin"], ("added", None, False))
        vt.equal(changes[where + "PayloadCertificateUUID"][0], "changed")
        vt.equal(changes["PayloadContent[0: com.apple.security.root]"][0], "removed")
        vt.equal(changes["PayloadContent[1: com.apple.dock]"][0], "added")
        vt.equal(len(changes), 5)
        vt.contains(at.run("profile", "diff", "a", "c").stdout, '  - "a"\n  + "c"\n')
        spare = payload("com.apple.security.root", PayloadContent=b"other", x=1)
        at.put("f", profile(cert, spare, wifi))
        at.put("g", profile(cert, spare, {**wifi, "PayloadCertificateUUID": spare["PayloadUUID"]}))
        result = at.run("profile", "diff", "f", "g")
        vt.equal(result.returncode, 1, "another certificate")
        vt.contains(result.stdout, "PayloadCertificateUUID: changed")
        untyped = {"PayloadUUID": str(uuid.uuid4()), "a": 1}
        at.put("h", profile(untyped, "text", cert))
        at.put("i", profile(renewed(untyped), "text", cert))
        at.put("j", profile(renewed(untyped), "other", cert))
        vt.equal(at.run("profile", "diff", "h", "i").stdout, "")
        vt.contains(at.run("profile", "diff", "h", "j").stdout, '- "text"\n  + "other"')
        at.put("d", profile(cert, {**wifi, "AutoJoin": 1}))
        at.put("e", profile(cert, {**wifi, "AutoJoin": True}))
        vt.equal(at.run("profile", "diff", "d", "e").returncode, 1, "1 and true are not the same")


def preferences(domain, **keys):
    return payload("com.apple.ManagedClient.preferences", PayloadContent={
        domain: {"Forced": [{"mcx_preference_settings": keys}]}})


def conflict():
    with Folder() as at:
        def found(*profiles):
            names = [at.put(f"{i}.mobileconfig", {**p, "PayloadIdentifier": f"org.example.{i}"}
                            if p["PayloadIdentifier"] == "org.example.p" else p)
                     for i, p in enumerate(profiles)]
            result = at.run("profile", "conflicts", "--json", *names)
            findings = json.loads(result.stdout)
            vt.equal(result.returncode, int(any(f["severity"] == "error" for f in findings)))
            return findings

        hot, cold = payload(DOCK, autohide=True), payload(DOCK, autohide=False)
        vt.equal(rules(found(profile(hot), profile(cold))), ["conflict", "single-instance-twice"])
        # the same value is no conflict, nor is another scope
        vt.equal(rules(found(profile(hot), profile(payload(DOCK, autohide=True)))),
                 ["single-instance-twice"])
        vt.check("conflict" not in rules(found(profile(hot), profile(cold, PayloadScope="User"))))
        # a payload and a preference of the same domain
        one = found(profile(hot), profile(preferences(DOCK, autohide=False)))
        vt.equal(rules(one), ["conflict"])
        vt.contains(one[0]["message"], "com.apple.dock: autohide is false here, and true in "
                                       "0.mobileconfig (PayloadContent[0].autohide)")
        # networks stand each for itself
        vt.equal(found(profile(payload("com.apple.wifi.managed", SSID_STR="a")),
                       profile(payload("com.apple.wifi.managed", SSID_STR="b"))), [])
        same = profile(hot, PayloadIdentifier="org.example.same")
        vt.check("same-identifier" in rules(found(same, {**same, "PayloadUUID": str(uuid.uuid4())})))

        def policy(program, **keys):
            return profile(payload("com.apple.TCC.configuration-profile-policy", Services={
                "Camera": [{"Identifier": program, "IdentifierType": "bundleID",
                            "CodeRequirement": "y", **keys}]}))
        vt.equal(rules(found(policy("a", Allowed=False), policy("a", Allowed=True))),
                 ["most-restrictive"])
        vt.equal(found(policy("a", Allowed=False), policy("b", Allowed=True)), [])


SCHEMA = """\
title: T
payload:
  payloadtype: com.example.type
  supportedOS:
    macOS: {{introduced: '10.7', multiple: true, devicechannel: true, userchannel: true{type}}}
payloadkeys:
- key: Old
  type: <string>
  presence: optional
  supportedOS:
    macOS: {{introduced: '10.7'{old}}}
- key: Choice
  type: <string>
  presence: optional
  rangelist: {choice}
- key: Tree
  type: <array>
  presence: optional
  subkeys: &tree
  - key: Item
    type: <dictionary>
    subkeys:
    - key: Level
      type: <integer>
      presence: required
      range: {{min: 1, max: {most}}}
    - key: Tree
      type: <array>
      presence: optional
      subkeys: *tree
{more}"""


def schemas():
    """A schema of one's own, and what a newer one changes."""
    with Folder() as at:
        def put(name, **parts):
            text = SCHEMA.format(**{"type": "", "old": "", "choice": "[a, b]", "most": 5, "more": "",
                                    **parts})
            at.put(f"{name}/mdm/profiles/t.yaml", text.encode())
        put("one")
        put("two", old=", deprecated: '16.0'", choice="[a, c]", most=3,
            more="- key: New\n  type: <boolean>\n  presence: required\n")
        put("three", type=", removed: '17.0'")
        tree = [{"Level": 1, "Tree": [{"Level": 9, "Tree": []}]}]
        at.put("a", profile(payload("com.example.type", Old="x", Choice="b", Tree=tree)))
        found = at.lint("--schema", "one", "--os", "15.1", "a", code=1)
        vt.equal([(f["rule"], f["path"]) for f in found],
                 [("out-of-range", "PayloadContent[0].Tree[0].Tree[0].Level")])
        # the compiled table says the same
        vt.equal(at.run("profile", "schema", "--name", "15.1", "-o", "one.facts", "one").returncode, 0)
        vt.equal(at.lint("--schema", "one.facts", "a", code=1), found)

        def forecast(to, code):
            result = at.run("profile", "forecast", "--json", "--from", "one", "--to", to, "a")
            vt.equal(result.returncode, code, result.stderr)
            return sorted((f["rule"], f["path"].removeprefix("PayloadContent[0]"))
                          for f in json.loads(result.stdout))
        vt.equal(forecast("one", 0), [])
        level, deeper = ".Tree[0].Level", ".Tree[0].Tree[0].Level"
        vt.equal(forecast("two", 0), sorted([
            ("forecast-deprecated", ".Old"), ("forecast-changed", ".Choice"),
            ("forecast-added", ".Choice"), ("forecast-changed", level),
            ("forecast-changed", deeper), ("forecast-changed", ".New")]))
        vt.equal(forecast("three", 1), [("forecast-removed", "")])
        at.put("four/other.yaml", SCHEMA.format(type="", old="", choice="[a]", most=1, more="")
               .replace("example.type", "example.other").encode())
        vt.equal(forecast("four", 1), [("forecast-gone", "")])


def broken_schemas():
    with Folder() as at:
        at.put("a", profile(payload(DOCK)))
        for text, part in ((b"a: [", "t.yaml:2:1"), (b"a: b", "no schema of a payload"),
                           (b"payload: {payloadtype: x}\npayloadkeys: [{key: k}]", "t.yaml:2"),
                           (b"payload: {payloadtype: x}\npayloadkeys: [1]", "t.yaml:2")):
            at.put("s/t.yaml", text)
            result = at.run("profile", "lint", "--schema", "s", "a")
            vt.equal(result.returncode, 2, text)
            vt.contains(result.stderr, part)
        for text in ("", "name\tx\n", "type\tx\n", "name\tx\ntype\tt\tsub:3\n", "key\ta\tstring\t-\n",
                     "name\tx\ntype\tt\tin:soon\n", "nonsense\n"):
            at.put("t.facts", text.encode())
            vt.equal(at.run("profile", "lint", "--schema", "t.facts", "a").returncode, 2, text)


def rules_are_documented():
    """docs/profiles.md has each rule with its severity and text, and no other."""
    root = pathlib.Path(__file__).resolve().parents[2]
    page = (root / "docs" / "profiles.md").read_text(encoding="utf-8")
    source = (root / "engine" / "profile" / "rules.c").read_text(encoding="utf-8")
    names = {"ERROR": "error", "VT_WARNING": "warning", "VT_NOTE": "note"}
    rows = re.findall(r'\] = \{\s*"([a-z-]+)",\s*(\w+),\s*"([^"]*)"\}', source)
    vt.equal(len(rows), source.count("[VT_RULE_") - 1)
    vt.equal(sorted(re.findall(r"^\| `([a-z-]+)` \| \w+ \| .* \|$", page, re.M)),
             sorted(rule for rule, _, _ in rows))
    for rule, severity, text in rows:
        vt.contains(page, f"| `{rule}` | {names[severity]} | {text} |")


def secrets():
    with Folder() as at:
        at.put("a", profile(payload("com.apple.wifi.managed", SSID_STR="net", Password="hush-1",
                                    EAPClientConfiguration={"UserPassword": "hush-2"})))
        for args in ([], ["--json"]):
            out = at.run("profile", "show", *args, "a").stdout
            vt.contains(out, "net")
            vt.check("hush" not in out, out)


vt.main([clean, each_rule, policies, recursive_schema, places, forms, large, unreadable, arguments,
         several_versions, documents, difference, conflict, schemas, broken_schemas, secrets, rules_are_documented])
