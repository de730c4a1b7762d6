#!/usr/bin/env python3
"""Named VMs without starting one: making, listing, cloning, removing, and every typing mistake."""
import json
import os

from vt import Home, check, contains, equal, main, need_image


def rows(home):
    r = home.run("vm", "ls", "--json")
    equal(r.returncode, 0, r.stderr)
    return {row["name"]: row for row in json.loads(r.stdout)}


def info(home, name):
    r = home.run("vm", "info", name, "--json")
    equal(r.returncode, 0, r.stderr)
    return json.loads(r.stdout)


def folders(home):
    path = home.home / "vms"
    return sorted(os.listdir(path)) if path.exists() else []


def test_create_list_remove():
    with Home(images=True) as home:
        equal(rows(home), {})
        (home.work / "file.raw").write_bytes(bytes(1 << 20))
        r = home.run("vm", "create", "web", "--image", "small", "-m", "160M", "--cpus", "2",
                     "--disk", "size=64M,bus=nvme,name=data", "--disk", "size=1M,name=more",
                     "--forward", "80", "--disk", "name=file,path=file.raw,read-only")
        equal(r.returncode, 0, r.stderr)
        equal(r.stdout, "web\n")
        row = rows(home)["web"]
        equal((row["state"], row["named"], row["pid"]), ("stopped", True, 0))
        check(row["image"].startswith("small@"), "the image's version is held fast", row)
        config = info(home, "web")["config"]
        equal(config["memory"], 160 << 20)
        equal(config["cpus"], 2)
        equal([d["name"] for d in config["disks"]], ["data", "more", "file"])
        equal(config["disks"][0]["size"], 64 << 20)
        equal(config["disks"][2]["path"], str((home.work / "file.raw").resolve()))
        equal(config["disks"][2]["read_only"], True)
        contains(home.run("vm", "ls").stdout, "web ")
        contains(home.run("vm", "info", "web").stdout, "small@")
        # the same again from its own configuration
        (home.work / "web.json").write_text(json.dumps(config))
        equal(home.run("vm", "create", "two", "--config", "web.json", "-m", "128M").returncode, 0)
        equal(info(home, "two")["config"], {**config, "name": "two", "memory": 128 << 20})
        r = home.run("vm", "create", "web", "--image", "small")
        equal(r.returncode, 2)
        contains(r.stderr, "already")
        equal(home.run("vm", "rm", "--all").returncode, 0)
        equal(folders(home), ["two", "web"])
        equal(home.run("vm", "rm", "web", "two").returncode, 0)
        equal(folders(home), [])
        equal(rows(home), {})


def test_patterns_and_clones():
    with Home(images=True) as home:
        r = home.run("vm", "clone", "small", "student-{1..20}")
        equal(r.returncode, 0, r.stderr)
        equal(r.stdout.split(), [f"student-{i}" for i in range(1, 21)])
        equal(len(rows(home)), 20)
        contains(home.run("vm", "clone", "small", "x", "--strat").stderr, "did you mean --start?")
        r = home.run("vm", "clone", "student-1", "extra", "student-{19..22}")
        equal(r.returncode, 2)
        equal(r.stdout, "extra\n")
        contains(r.stderr, "\"student-19\" already")
        contains(r.stderr, "  made: extra\n")
        contains(r.stderr, "  not made: student-19 student-20 student-21 student-22\n")
        equal(info(home, "extra")["source"], "student-1")
        equal(home.run("vm", "rm", "student-{1..20}", "extra").returncode, 0)
        equal(folders(home), [])


def test_what_needs_a_running_vm():
    with Home(images=True) as home:
        home.run("vm", "create", "web", "--image", "small", check=True)
        for args in (["exec", "web", "true"], ["cp", "web:/etc/passwd", "."], ["ssh", "web"],
                     ["console", "web"], ["pause", "web"], ["resume", "web"], ["reboot", "web"],
                     ["screenshot", "web", "x.png"], ["keys", "web", "ret"],
                     ["type", "web", "text"], ["unshare", "web", "src"],
                     ["resize-disk", "web", "disk0", "1G"],
                     ["attach-disk", "web", "name=a,size=1M"], ["detach-disk", "web", "a"]):
            r = home.run("vm", *args)
            equal(r.returncode, 2, args, r.stderr)
            contains(r.stderr, "VM web does not run", args)
            contains(r.stderr, "vm start web", args)
        for args in (["stop", "web"], ["kill", "web"], ["wait", "web"]):
            equal(home.run("vm", *args).returncode, 0, args)
        equal(home.run("vm", "reset", "web").returncode, 0)
        equal(json.loads(home.run("vm", "snapshots", "web", "--json").stdout), [])


MISTAKES = (
    (["strat", "web"], "vm start"),
    (["start"], "NAME... is missing"),
    (["start", "wbe"], "did you mean web?"),
    (["start", "web-{1..3"], "brace"),
    (["start", "--timeout", "never", "web"], "--timeout takes a time"),
    (["wait", "--timeout", "0s", "web"], "--timeout takes a time"),
    (["create", "x"], "--image"),
    (["create", "x", "--image", "smal"], "did you mean \"small\"?"),
    (["create", "x", "--imgae", "small"], "--image"),
    (["create", "../x", "--image", "small"], "cannot be a VM's name"),
    (["create", ".x", "--image", "small"], "cannot be a VM's name"),
    (["create", "x", "-i", "small", "--cpus", "many"], "whole number"),
    (["create", "x", "-i", "small", "--memory", "lots"], "\"memory\" is to be a size"),
    (["create", "x", "-i", "small", "--disk", "siez=1G,name=a"], "did you mean \"size\"?"),
    (["create", "x", "-i", "small", "--disk", "size=1G,name=a,bus=ide"], "nvme"),
    (["create", "x", "-i", "small", "--disk", "size=1G,size=2G"], "given twice"),
    (["create", "x", "-i", "small", "--nic", "kind=wifi"], "bridged"),
    (["create", "x", "-i", "small", "--share", "name=a,path=nowhere"], "there is no nowhere"),
    (["create", "x", "-i", "small", "--forward", "80:http"], "pair of ports"),
    (["create", "x", "-i", "small", "--channel", "telnet"], "no channel"),
    (["create", "x", "--config", "nowhere.json"], "nowhere.json"),
    (["create", "x", "--config", "odd.json"], "did you mean \"memory\"?"),
    (["create", "x", "--config", "sim.json"], "end with the process"),
    (["clone", "smal", "a"], "no named VM"),
    (["clone", "web@nothing", "a"], "has no snapshot"),
    (["cp", "a", "b"], "NAME:PATH"),
    (["cp", "web:", "b"], "names no path"),
    (["cp", "web:/a", "web:/b"], "NAME:PATH"),
    (["restore", "web", "clean"], "has no snapshot"),
    (["rmsnap", "web", "../.."], "has no snapshot"),
    (["share", "web", "name"], "no value"),
    (["resize-disk", "web", "disk0", "big"], "size"),
    (["rm", "web", "ghost"], "there is no VM \"ghost\""),
)


def test_typing_mistakes():
    with Home(images=True) as home:
        home.suite("odd.json", '{"image": "small", "memroy": "1G"}')
        home.suite("sim.json", '{"driver": "sim"}')
        home.run("vm", "create", "web", "--image", "small", check=True)
        for args, wanted in MISTAKES:
            r = home.run("vm", *args)
            equal(r.returncode, 2, args, r.stderr)
            contains(r.stderr, wanted, args)
            equal(r.stdout, "", args)
            equal(folders(home), [] if args[0] == "rm" else ["web"], args)


need_image()
main([test_create_list_remove, test_patterns_and_clones, test_what_needs_a_running_vm,
      test_typing_mistakes])
