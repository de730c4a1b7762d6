"""An image that a VM runs on is not removed, also where the vmtest that started the VM is gone."""
import json
import time

import vt


def refused(home, words, *args):
    done = home.run(*args)
    vt.equal(done.returncode, 3, done.stderr)
    vt.contains(done.stderr, words)


def full_names(home):
    listed = json.loads(home.run("image", "ls", "--json").stdout)
    return [f"{v['name']}@{v['version']}" for v in listed]


def what_is_in_use_stays():
    with vt.Home() as home:
        small = str((vt.image_store() / "small" / "latest").resolve())
        name = home.run("image", "import", small, "--as", "mine").stdout.strip()
        newer = home.run("image", "import", small, "--as", "mine").stdout.strip()
        suite = home.suite("keep.lua", f'''
            local vmtest = require "vmtest"
            TestKept = vmtest.class {{ image = "{name}" }}
            function TestKept:testUp() assert(self.vm:exec("true").status == 0) end
            os.exit(require("luaunit").LuaUnit.run())''')
        ran = home.run("run", "--keep", "always", suite)
        vt.equal(ran.returncode, 0, ran.stdout, ran.stderr)
        try:
            running = json.loads(home.run("vm", "ls", "--json").stdout)
            vt.equal([bool(vm["pid"]) for vm in running], [True])
            vt.check(not running[0]["run_alive"], "the run has ended")
            for words in (["rm", name], ["rm", name, "--force"], ["rm", "mine", "--force"]):
                refused(home, "is in use", "image", *words)
            vt.contains(home.run("image", "rm", name).stderr, running[0]["name"])
            collected = home.run("gc", "--keep", "0")
            vt.equal(collected.returncode, 0, collected.stderr)
            vt.equal(full_names(home), [name, newer])
            left = home.run("vm", "exec", running[0]["name"], "--", "true")
            vt.equal(left.returncode, 0, left.stderr)
        finally:
            home.run("vm", "rm", "--all")
        vt.equal(home.run("image", "rm", name).returncode, 0)
        vt.equal(full_names(home), [newer])
        time.sleep(2.5)  # a run's folder that was touched just now might be of one that begins
        vt.equal(home.run("gc").returncode, 0)
        vt.equal(home.leftovers(), [])


vt.need_image()
vt.main([what_is_in_use_stays])
