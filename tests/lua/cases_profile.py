"""vmtest.profile: reading, lint, diff, conflicts."""
import plistlib

from cases_luaunit import HEAD, eq


def put(b, name, **keys):
    payload = {"PayloadType": "com.apple.dock", "PayloadVersion": 1, "PayloadIdentifier": "x.dock",
               "PayloadUUID": "7CD9BC84-9FF5-4AF2-9ECA-7EF8A4E5BD40", **keys}
    b.write(name, plistlib.dumps({
        "PayloadType": "Configuration", "PayloadVersion": 1, "PayloadIdentifier": name,
        "PayloadUUID": "DC3E5642-6760-4C0B-9C73-79EF3228A233",
        "PayloadContent": [payload]}).decode())


def run(b, body):
    put(b, "a.mobileconfig", autohide=True, orientation="left")
    put(b, "b.mobileconfig", autohide=1)
    r = b.run(HEAD + "local profile = vmtest.profile\nfunction testA()\n" + body + "\nend")
    eq({e["name"]: e.get("message") for e in r.of("test_end") if e["outcome"] != "passed"}, {})
    eq(r.code, 0)
    return r


def test_read(b):
    run(b, """
      local p = profile.read "a.mobileconfig"
      lu.assertEquals(p.identifier, "a.mobileconfig")
      lu.assertEquals(p.payloads[1].type, "com.apple.dock")
      lu.assertEquals(p.payloads[1].settings, { autohide = true, orientation = "left" })
      lu.assertEquals(p.content.PayloadContent[1].PayloadVersion, 1)
      lu.assertFalse(p.signed)
    """)


def test_lint(b):
    run(b, """
      lu.assertEquals(profile.lint("a.mobileconfig", { os = "15.1" }), {})
      local found = profile.lint("b.mobileconfig", { os = { "14.0", "15.1" } })
      lu.assertEquals(#found, 1)
      lu.assertEquals(found[1].rule, "wrong-type")
      lu.assertEquals(found[1].path, "PayloadContent[0].autohide")
      lu.assertEquals(found[1].severity, "error")
      lu.assertTrue(found[1].line > 1)
    """)


def test_diff_and_conflicts(b):
    run(b, """
      lu.assertEquals(profile.diff("a.mobileconfig", "a.mobileconfig"), {})
      local paths = {}
      for _, change in ipairs(profile.diff("a.mobileconfig", "b.mobileconfig")) do
        paths[change.path] = change.change
      end
      lu.assertEquals(paths["PayloadContent[0: com.apple.dock].autohide"], "changed")
      lu.assertEquals(paths["PayloadContent[0: com.apple.dock].orientation"], "removed")
      local rules = {}
      for _, found in ipairs(profile.conflicts { "a.mobileconfig", "b.mobileconfig" }) do
        rules[found.rule] = true
      end
      lu.assertEquals(rules, { conflict = true, ["same-uuid"] = true, ["single-instance-twice"] = true })
    """)


def test_what_is_refused(b):
    r = run(b, """
      local function refused(f, ...) local _, err = pcall(f, ...) print(err.code, err.message) end
      refused(profile.read, "none.mobileconfig")
      refused(profile.read, 7)
      refused(profile.lint, "a.mobileconfig", { os = "soon" })
      refused(profile.lint, "a.mobileconfig", { so = "15.1" })
      refused(profile.lint, "a.mobileconfig", { schema = "nowhere" })
      refused(profile.diff, "a.mobileconfig")
      refused(profile.conflicts, { "a.mobileconfig", "none" })
      refused(profile.conflicts, { 1 })
      refused(function() return profile.lnit end)
    """)
    lines = r.output().splitlines()
    eq([line.split("\t")[0] for line in lines],
       ["not_found", "invalid", "invalid", "invalid", "not_found", "invalid", "not_found",
        "invalid", "invalid"])
    for line, part in zip(lines, ["none.mobileconfig", "is to be a path", '"soon" is no version',
                                  "did you mean 'os'", "nowhere", "is to be a path", "none",
                                  "list of texts", "did you mean 'lint'"]):
        assert part in line, (line, part)
