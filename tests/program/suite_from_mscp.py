#!/usr/bin/env python3
"""vmtest suite from-mscp, on a checkout of our own making, and on a real one where it is there."""
import os
import pathlib
import plistlib
import subprocess

from vt import Home, check, contains, equal, main

ROOT = pathlib.Path(__file__).resolve().parents[2]
REAL = pathlib.Path(os.environ.get("VMTEST_DATA", ROOT.parent / "shared" / "data")) / "mscp"

BASELINE = """
title: "A baseline: level 1"
parent_values: "level1"
profile:
  - section: "passwords"
    rules:
      - length
      - lifetime
      - other_lifetime
  - section: "system"
    rules: [panes, more_panes, domain, fixed, encoded, looked_at, without_value]
  - section: "Supplemental"
    rules: [explanation]
"""

RULES = {
    "pw/length": """
title: At least $ODV characters
check: |
  echo "quoted ]] and ]=] $ODV"
result: {integer: $ODV}
severity: high
odv: {hint: a number, recommended: 15, level1: 12}
mobileconfig: true
mobileconfig_info:
  com.example.passwords: {minLength: $ODV, hint: "at least $ODV", ratio: 0.5}
""",
    "pw/lifetime": """
check: "true"
result: {boolean: 1}
mobileconfig: true
mobileconfig_info: {com.example.passwords: {maxAge: 90}}
""",
    "pw/other_lifetime": """
check: "true"
result: {string: 'yes'}
mobileconfig: true
mobileconfig_info: {com.example.passwords: {maxAge: 60}}
""",
    "sys/panes": """
check: a
result: {string: b}
mobileconfig: true
mobileconfig_info: {com.example.panes: {Disabled: [one, two], inner: {a: true}}}
""",
    "sys/more_panes": """
check: a
result: {string: b}
mobileconfig: true
mobileconfig_info: {com.example.panes: {Disabled: [two, three], inner: {b: false}}}
""",
    "sys/domain": """
check: a
result: {string: b}
mobileconfig: true
mobileconfig_info: {com.apple.ManagedClient.preferences: {com.example.app: {On: true}}}
""",
    "sys/fixed": """
check: a
result: {string: "no"}
mobileconfig: false
mobileconfig_info:
fix: |
  [source,bash]
  ----
  /usr/bin/one
  /usr/bin/two
  ----
""",
    "sys/encoded": "check: a\nresult: {base64: text}\nmobileconfig: false\n",
    "sys/looked_at": "title: ask a person\ncheck: look\nmobileconfig: false\n",
    "sys/without_value": "check: test $ODV\nresult: {string: a}\nodv: {hint: x}\nmobileconfig: false\n",
    "supplemental/explanation": "title: text\n",
}


def checkout(home):
    folder = home.work / "mscp"
    (folder / "baselines").mkdir(parents=True)
    (folder / "baselines" / "level1.yaml").write_text(BASELINE)
    (folder / "VERSION.yaml").write_text('version: "Example 1"\n')
    for name, text in RULES.items():
        path = folder / "rules" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def profiles(folder):
    found = {}
    for path in sorted((folder / "profiles").iterdir()):
        profile = plistlib.loads(path.read_bytes())
        payload = profile["PayloadContent"][0]
        equal((profile["PayloadType"], len(profile["PayloadContent"])), ("Configuration", 1))
        equal(path.name, payload["PayloadType"] + ".mobileconfig")
        found[payload["PayloadType"]] = {k: v for k, v in payload.items() if k == "PayloadContent"
                                         or not k.startswith("Payload")}
    return found


PROBE = """
package.loaded.luaunit = { LuaUnit = { run = function() end } }
local tests = {}
package.loaded.vmtest = {
  fixture = function() end, class = function(o) return setmetatable({}, { __newindex =
    function(t, k, v) tests[#tests + 1] = k; rawset(t, k, v) end }) end,
  test = function(_, fn) return fn end,
}
os.exit = function() end
local source = io.open(arg[1]):read("a"):gsub("\\nlocal rules", "\\nrules")
assert(load(source, "@" .. arg[1]))()
for _, r in ipairs(rules) do
  print(r.id, r.title, r.section, r.severity, r.value, r.check, r.expected, r.fix)
end
print(rules[4].settings["com.example.panes"].Disabled[3], rules[1].settings["com.example.passwords"].minLength,
  rules[6].settings["com.example.app"].On)
table.sort(tests)
print(table.concat(tests, " "))
"""


def probe(home, suite):
    """What the suite's own tables hold, as Lua reads them."""
    (home.work / "probe.lua").write_text(PROBE)
    run = subprocess.run(["lua5.4", home.work / "probe.lua", suite], capture_output=True, text=True,
                         check=False)
    equal(run.returncode, 0, run.stderr)
    return run.stdout


def test_rules_become_tests_and_profiles():
    with Home() as home:
        made = home.run("suite", "from-mscp", "--baseline", "level1", str(checkout(home)))
        equal(made.returncode, 0, made.stderr)
        equal(made.stdout, "mscp-level1/level1.lua\n")
        contains(made.stderr, "other_lifetime: com.example.passwords: maxAge was set to another value")
        contains(made.stderr, "no test: looked_at: it has neither")
        contains(made.stderr, "no test: without_value: it wants a value")
        contains(made.stderr, "8 rules, 3 profiles; 2 without a test")
        folder = home.work / "mscp-level1"
        equal(profiles(folder), {
            "com.example.passwords": {"minLength": 12, "hint": "at least 12", "ratio": 0.5,
                                      "maxAge": 90},
            "com.example.panes": {"Disabled": ["one", "two", "three"],
                                  "inner": {"a": True, "b": False}},
            "com.apple.ManagedClient.preferences": {"PayloadContent": {"com.example.app": {
                "Forced": [{"mcx_preference_settings": {"On": True}}]}}},
        })
        said = probe(home, folder / "level1.lua")
        contains(said, 'length\tAt least 12 characters\tpasswords\thigh\t12\techo "quoted ]] and ]=] 12"')
        contains(said, "\n\t12\tnil\n")
        contains(said, "fixed\tfixed\tsystem\tnil\tnil\ta\tno\t/usr/bin/one\n/usr/bin/two\n")
        contains(said, "encoded\tencoded\tsystem\tnil\tnil\ta\tdGV4dAo=")
        contains(said, "three\t12\ttrue\n")
        contains(said, "setupClass test_domain test_encoded test_fixed test_length test_lifetime"
                       " test_more_panes test_other_lifetime test_panes")
        equal(home.leftovers(0), [])


def test_the_same_is_made_again():
    with Home() as home:
        source = checkout(home)
        for out in ("a", "b"):
            equal(home.run("suite", "from-mscp", "-b", "level1", "-o", out, str(source)).returncode, 0)
        same = subprocess.run(["diff", "-r", home.work / "a", home.work / "b"], check=False,
                              capture_output=True, text=True)
        equal(same.returncode, 0, same.stdout)


def test_values_are_given():
    with Home() as home:
        source = str(checkout(home))
        made = home.run("suite", "from-mscp", "-b", "level1", "--odv", "length=20", "--odv",
                        "without_value=x", source)
        equal(made.returncode, 0, made.stderr)
        equal(profiles(home.work / "mscp-level1")["com.example.passwords"]["minLength"], 20)
        contains(made.stderr, "9 rules, 3 profiles; 1 without a test")
        for wrong, said in (("lenght=20", 'has no rule "lenght" that takes a value'),
                            ("lifetime=20", 'has no rule "lifetime" that takes a value'),
                            ("length", "is not RULE=VALUE")):
            made = home.run("suite", "from-mscp", "-b", "level1", "-o", "x", "--odv", wrong, source)
            equal(made.returncode, 2, made.stderr)
            contains(made.stderr, said)
            check(not (home.work / "x").exists())


def test_what_is_wrong_is_told():
    with Home() as home:
        source = checkout(home)
        made = home.run("suite", "from-mscp", str(source))
        equal(made.returncode, 2)
        contains(made.stderr, "--baseline is needed")
        made = home.run("suite", "from-mscp", "-b", "levl1", str(source))
        equal(made.returncode, 2)
        contains(made.stderr, 'did you mean "level1"?')
        made = home.run("suite", "from-mscp", "-b", "level1", str(home.home))
        contains(made.stderr, "is no checkout of mSCP")
        made = home.run("suite", "from-mscp", "-b", "../level1", str(source))
        contains(made.stderr, "has no baseline")
        (source / "rules" / "pw" / "length.yaml").write_text("a: [1\nb: 2\n")
        made = home.run("suite", "from-mscp", "-b", "level1", str(source))
        equal(made.returncode, 2)
        contains(made.stderr, "rules/pw/length.yaml:2")
        check(not (home.work / "mscp-level1").exists())
        (source / "rules" / "pw" / "length.yaml").write_text(
            "mobileconfig: true\nmobileconfig_info: &m {com.example.x: *m}\n")
        made = home.run("suite", "from-mscp", "-b", "level1", str(source))
        contains(made.stderr, "more settings than a profile may have")
        (source / "rules" / "pw" / "length.yaml").unlink()
        made = home.run("suite", "from-mscp", "-b", "level1", str(source))
        contains(made.stderr, "no test: length: the checkout has no such rule")
        made = home.run("suite", "from-mscp", "-b", "level1", str(source))
        equal(made.returncode, 2)
        contains(made.stderr, "--force writes over")


def test_a_real_checkout():
    if not REAL.is_dir():
        print(f"no checkout of mSCP in {REAL}: not tested on one")
        return
    with Home() as home:
        for baseline in sorted(path.stem for path in (REAL / "baselines").iterdir()):
            made = home.run("suite", "from-mscp", "-b", baseline, str(REAL))
            equal(made.returncode, 0, made.stderr)
            suite = home.work / made.stdout.strip()
            check(profiles(suite.parent), baseline)
            listed = home.run("list", str(suite))
            equal(listed.returncode, 0, listed.stderr)
            rules = int(made.stderr.splitlines()[-1].split()[0])
            check(rules > 30, baseline, rules)
            equal(len([line for line in listed.stdout.splitlines() if "test_" in line]), rules)
        equal(home.leftovers(0), [])


main([test_rules_become_tests_and_profiles, test_the_same_is_made_again, test_values_are_given,
      test_what_is_wrong_is_told, test_a_real_checkout])
