#!/usr/bin/env python3
"""Completion: what `vmtest __complete` offers, and that a real bash asks for it."""
import json
import os
import shutil
import subprocess

from vt import VMTEST, Home, check, contains, equal, main, need_image


def offered(home, *words):
    r = home.run("__complete", *words)
    equal(r.returncode, 0, words)
    return r.stdout.split("\n")[:-1]


def test_words():
    with Home() as home:
        top = offered(home, "")
        for word in ("run", "list", "doctor", "vm", "image", "drivers", "completion"):
            equal(top.count(word), 1, top)
        check(not any(word.startswith("_") for word in top), top)
        equal(offered(home, "dr"), ["drivers"])
        equal(offered(home, "--v"), ["--version"])
        check({"ls", "ssh", "exec", "rm"} <= set(offered(home, "vm", "")), offered(home, "vm", ""))
        equal(offered(home, "vm", "ex"), ["exec"])
        equal(offered(home, "vmm", ""), [])
        equal(offered(home, "run", "--dri"), ["--driver"])
        for driver in ("qemu", "sim", "ssh"):
            check(driver in offered(home, "run", "--driver", ""), driver)
        equal(offered(home, "run", "--driver", "q"), ["qemu"])
        equal(offered(home, "run", "--driver=q"), ["--driver=qemu"])
        equal(offered(home, "run", "--channel", "a"), ["agent"])
        equal(offered(home, "run", "--mdm", "la"), ["lab"])
        equal(offered(home, "run", "--keep", ""), ["never", "fail", "always"])
        equal(offered(home, "run", "--wait", ""), [":files"])  # its value is joined by '='
        equal(offered(home, "run", ""), [":files"])
        equal(offered(home, "run", "-o", ""), [":files"])
        equal(offered(home, "run", "--timeout", ""), [])
        equal(offered(home, "completion", "b"), ["bash"])
        equal(home.run("__complete").returncode, 2)


def test_every_command_and_option():
    """Whatever stands in the help is offered."""
    with Home() as home:
        lines = home.run("--help").stdout.split("commands:\n")[1].split("\n\n")[0].splitlines()
        names = [line[2:].split("  ")[0] for line in lines]
        check(len(names) > 8, names)
        for name in names:
            words = name.split()
            check(words[-1] in offered(home, *words), name)
            shown = home.run(*words, "--help").stdout.split("options:\n")[1].split("\nexample")[0]
            options = {word.strip(",").split("[")[0] for line in shown.splitlines()
                       for word in line.split("  ")[1].split() + line.split()[:2]
                       if word.startswith("--")}
            equal(options - set(offered(home, *words, "--")), set(), name)


def test_names_of_images():
    need_image()
    with Home(images=True) as home:
        equal(offered(home, "image", "show", "smal").count("small"), 1)
        equal(offered(home, "image", "show", "nothing-like"), [])
        for name in ("student-1", "student-2", "web"):
            r = home.run("vm", "create", "--image", "small", name)
            equal(r.returncode, 0, r.stderr)
        equal(offered(home, "vm", "start", "stu"), ["student-1", "student-2"])
        equal(offered(home, "vm", "start", "student-1", "w"), ["web"])
        equal(offered(home, "vm", "exec", "w"), ["web"])
        equal(offered(home, "vm", "exec", "web", ""), [])
        equal(offered(home, "vm", "create", "w"), [])
        check({"web", "small"} <= set(offered(home, "vm", "clone", "")), "sources")
        equal(offered(home, "vm", "clone", "web", "w"), [])
        check("small" in offered(home, "vm", "create", "--image", "sm"), "an image by its option")
        snapshot = home.home / "vms" / "web" / "snapshots" / "clean"
        snapshot.mkdir(parents=True, exist_ok=True)
        (snapshot / "snapshot.json").write_text(json.dumps(
            {"format": 1, "name": "clean", "vm": "web", "created": "2026-01-31T12:00:00Z",
             "memory": False, "driver": "qemu", "state": "stopped", "config": {}}))
        equal(offered(home, "vm", "restore", "web", ""), ["clean"])
        equal(offered(home, "vm", "restore", "student-1", ""), [])
        equal(offered(home, "vm", "rmsnap", "web", "cl"), ["clean"])


def bash(home, line):
    """What bash makes of this line and TAB: its COMPREPLY."""
    script = r"""
eval "$("$VMTEST" completion bash)" || exit 9
line=$1
read -ra COMP_WORDS <<< "${line//=/ = }"
[[ $line == *" " ]] && COMP_WORDS+=("")
COMP_WORDS[0]=$VMTEST
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
COMP_LINE=$line COMP_POINT=${#line}
_vmtest
printf '%s\n' "${COMPREPLY[@]}"
complete -p vmtest >&2
"""
    r = subprocess.run(["bash", "--norc", "-c", script, "bash", line], cwd=home.work,
                       env={**home.env, "VMTEST": os.path.abspath(VMTEST)}, text=True,
                       capture_output=True, timeout=60)
    equal(r.returncode, 0, r.stderr)
    contains(r.stderr, "complete -F _vmtest vmtest")
    return r.stdout.split()


def test_bash():
    if not shutil.which("bash"):
        return
    with Home() as home:
        equal(bash(home, "vmtest dri"), ["drivers"])
        check({"run", "vm"} <= set(bash(home, "vmtest ")), "commands")
        equal(bash(home, "vmtest vm ex"), ["exec"])
        equal(bash(home, "vmtest run --chan"), ["--channel"])
        equal(bash(home, "vmtest run --channel=q"), ["qga"])
        equal(bash(home, "vmtest run --channel="), ["agent", "ssh", "qga"])
        equal(bash(home, "vmtest run --driver si"), ["sim"])
        home.suite("suite-one.lua", "")
        home.suite("other.lua", "")
        equal(bash(home, "vmtest run sui"), ["suite-one.lua"])
        equal(bash(home, "vmtest run -x sui"), ["suite-one.lua"])


def test_scripts_of_other_shells():
    """They are read by their shells where these are installed, else only looked at."""
    with Home() as home:
        for shell in ("zsh", "fish"):
            script = home.run("completion", shell).stdout
            contains(script, "__complete")
            if shutil.which(shell):
                r = subprocess.run([shell, "-n"], input=script, text=True, capture_output=True,
                                   timeout=60)
                equal(r.returncode, 0, r.stderr)
        r = home.run("completion", "bahs")
        equal(r.returncode, 2)
        contains(r.stderr, 'did you mean "bash"')


if __name__ == "__main__":
    main([test_words, test_every_command_and_option, test_bash, test_scripts_of_other_shells,
          test_names_of_images])
