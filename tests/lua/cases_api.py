"""The reference and the annotations cover all that is public."""
import os
import re

from cases_luaunit import HEAD, eq

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def reference():
    return read("docs", "lua-api.md") + read("docs", "lua-mdm.md")


def annotations():
    return read("lua-api", "types", "vmtest.lua") + read("lua-api", "types", "mdm.lua")


def public(b):
    r = b.run("""
        local vmtest = require "vmtest"
        for name, value in next, vmtest do
          local group = type(value) == "table" and value or { [""] = true }
          for sub in next, group do print("vmtest." .. name .. (sub ~= "" and "." .. sub or "")) end
        end
        for name in next, require "vmtest.vm".methods do print("vm:" .. name) end
        for name in next, require "vmtest.device".methods do print("device:" .. name) end
        for name in next, require "vmtest.mdm".methods do print("server:" .. name) end
        function testA() end
        """)
    return sorted(r.output().split())


def test_reference_is_complete(b):
    headings = re.findall(r"^### (.*)$", reference(), re.M)
    documented = set(re.findall(r"(vmtest(?:\.\w+)+|(?:vm|device|server):\w+)\(", " ".join(headings)))
    names = public(b)
    assert len(names) > 25, names
    eq(sorted(set(names) - documented), [])
    eq(sorted(documented - set(names)), [])


def test_annotations_are_complete(b):
    text = annotations()
    annotated = {"vmtest." + n for n in re.findall(r"^function vmtest\.([\w.]+)", text, re.M)}
    for class_, prefix in [("VM", "vm:"), ("Device", "device:"), ("Server", "server:")]:
        annotated |= {prefix + n for n in re.findall(rf"^function {class_}:(\w+)", text, re.M)}
    eq(sorted(annotated), public(b))
    for block in re.findall(r"((?:^---.*\n)*)^function \S+\(([^)]*)\)", text, re.M):
        for param in filter(None, (p.strip() for p in block[1].split(","))):
            assert f"@param {param}" in block[0], block


def test_annotations_are_lua(b):
    for name in "vmtest", "mdm":
        b.write(f"types_{name}.lua", read("lua-api", "types", f"{name}.lua"))
    eq(b.run('function testA() require "types_vmtest" require "types_mdm" end').code, 0)


def test_options_are_documented(b):
    """Each option that a function knows is in the reference and in the annotations."""
    calls = ["vmtest.class { x_ = 1 }", "vmtest.test({ x_ = 1 }, print)",
             'vmtest.vm { x_ = 1 }', "vmtest.wait_until { x_ = 1 }",
             'vmtest.class { xfail = { x_ = 1 } }', 'vmtest.fixture("x", { x_ = 1 }, print)',
             'vmtest.mdm { x_ = 1 }', "vmtest.upgrade_scenario { x_ = 1 }",
             "vmtest.permutations({ 1 }, { x_ = 1 })", 'vmtest.profile.lint("a", { x_ = 1 })',
             'vmtest.profile.conflicts({}, { x_ = 1 })',
             'vmtest.vm { disks = { { x_ = 1 } } }', 'vmtest.vm { nics = { { x_ = 1 } } }',
             'vmtest.vm { shares = { { x_ = 1 } } }', 'vmtest.vm { ssh = { x_ = 1 } }',
             'vmtest.vm { vz = { x_ = 1 } }', 'vmtest.vm { vz = { screen = { x_ = 1 } } }'] + [
                 f"vm:{call}" for call in (
                     'exec("x", { x_ = 1 })', 'sh("x", { x_ = 1 })', "wait_until { x_ = 1 }",
                     'put("a", "b", { x_ = 1 })', 'get("a", "b", { x_ = 1 })',
                     'read("a", { x_ = 1 })', 'write("a", "b", { x_ = 1 })',
                     "start { x_ = 1 }", 'snapshot("x", { x_ = 1 })',
                     'restore("x", { x_ = 1 })', "snapshots { x_ = 1 }", "clone { x_ = 1 }",
                     "enroll { x_ = 1 }", "preferences_snapshot { x_ = 1 }",
                     'assert_managed("a", "b", 1, { x_ = 1 })',
                     "share { x_ = 1 }", "attach_disk { x_ = 1 }", 'console():expect("x", 1, { x_ = 1 })', "reboot { x_ = 1 }", "wait_stopped { x_ = 1 }")]
    body = "".join(f"  show(function() {call} end)\n" for call in calls)
    r = b.run(HEAD + """
local function show(f) local _, err = pcall(f) print(err.hint) end
function testA()
  local vm = vmtest.vm { driver = "sim" }
""" + body + "end")
    eq(r.code, 0)
    lines = r.output().splitlines()
    eq(len(lines), len(calls))
    text, types = reference(), annotations()
    for call, line in zip(calls, lines):
        assert line.startswith("known are: "), (call, line)
        for option in line[len("known are: "):].split(", "):
            assert f"`{option}" in text, f"{call}: {option} is not in the reference"
            assert re.search(rf"@field {option}\??", types), f"{call}: {option}"


def test_capabilities_are_documented(b):
    r = b.run(HEAD + """
function testA() pcall(print, table.concat(require "vmtest.vm".capabilities, " ")) end
""")
    text, types = reference(), annotations()
    names = r.output().split()
    assert len(names) > 20, names
    for name in names:
        assert f"`{name}`" in text and f'"{name}"' in types, name


def test_quickstart_on_a_simulated_vm(b):
    text = read("testsuites", "quickstart.lua")
    simulated = text.replace('image = "small"', 'vm = { driver = "sim" }')
    assert simulated != text
    r = b.run(simulated, name="quickstart.lua")
    eq({e["name"]: e.get("message") for e in r.of("test_end") if e["outcome"] != "passed"}, {})
    eq((r.code, len(r.of("test_end"))), (0, 7))
