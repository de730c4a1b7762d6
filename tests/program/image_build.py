"""vmtest image build and import: recipes that work, fail, lie and are interrupted; disks by their
content. No VM runs here."""
import json
import os
import pathlib
import shutil
import signal
import stat
import struct
import subprocess
import time

from vt import Home, check, contains, equal, main

# A kernel as image.json wants it, as far as anybody looks who does not boot it.
KERNEL = b"\0" * 0x202 + b"HdrS" + b"\0" * 1024

GOOD = """#!/bin/sh
# description: a kernel that nobody boots
set -e
printf 'making %s with %s in %s\\n' "$VMTEST_IMAGE_NAME" "${VMTEST_SET_word-nothing}" "$PWD"
[ "$PWD" = "$VMTEST_IMAGE_DIR" ]
printf '%s' "${VMTEST_SET_word-nothing}" >word
cp "$KERNEL_FILE" kernel
echo between >"$VMTEST_WORK_DIR/in-between"
cat >image.json <<END
{"format": 1, "os": "linux", "arch": "x86_64", "memory": "64M", "kernel": "kernel"}
END
echo '{"kernel": "6.1-test", "packages": {"one": "1.0"}}' >contents.json
"""


def recipe(home, name, text, mode=0o755):
    path = home.home / "recipes" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def new_home():
    home = Home()
    kernel = home.work / "kernel"
    kernel.write_bytes(KERNEL)
    home.env["KERNEL_FILE"] = str(kernel)
    home.env["VMTEST_RECIPES"] = str(home.work / "none")
    return home


def nothing_left(home, name):
    """No version, no half-made one, no process."""
    folder = home.home / "images" / name
    check(not folder.exists() or not any(folder.iterdir()),
          "something is left:", list(folder.rglob("*")) if folder.exists() else "")
    equal(home.leftovers(), [])


def version_json(home, name):
    return json.loads((home.home / "images" / name / "latest" / "version.json").read_text())


def test_a_recipe_makes_versions():
    with new_home() as home:
        path = recipe(home, "toy", GOOD)
        first = home.run("image", "build", "toy", "--set", "word=a b'c$d", "--role", "beta")
        equal(first.returncode, 0, first.stderr)
        folder = home.home / "images" / "toy"
        name, version = first.stdout.strip().split("@")
        equal(name, "toy")
        equal((folder / version / "word").read_text(), "a b'c$d")
        facts = version_json(home, "toy")
        equal(facts["recipe"], str(path))
        digest = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True)
        equal(facts["recipe_sha256"], digest.stdout.split()[0])
        equal(facts["contents"]["packages"], {"one": "1.0"})
        equal(facts["role"], "beta")
        check("in-between" not in json.dumps(facts["files"]), facts["files"])
        equal(stat.S_IMODE((folder / version).stat().st_mode), 0o700)
        second = home.run("image", "build", "toy", "other")
        equal(second.returncode, 0, second.stderr)
        contains(second.stdout, "other@")
        third = home.run("image", "build", "toy")
        check(third.stdout.strip() != first.stdout.strip(), third.stdout)
        equal(len([f for f in folder.iterdir() if not f.is_symlink()]), 2)
        equal((folder / "latest" / "word").read_text(), "nothing")
        equal(home.leftovers(), [])


def test_recipes_are_found_by_name_and_path():
    with new_home() as home:
        recipe(home, "toy", GOOD)
        recipe(home, "notes.txt", "not a recipe", mode=0o644)
        recipe(home, "later.lua", "-- description: by a VM\nreturn {}", mode=0o644)
        listed = home.run("image", "recipes")
        equal(listed.stdout, "later  by a VM\ntoy    a kernel that nobody boots\n", listed.stderr)
        other = home.work / "elsewhere"
        other.mkdir()
        shutil.copy(home.home / "recipes" / "toy", other / "mine")
        env = {"VMTEST_RECIPES": f"{home.work}/none:{other}"}
        equal(home.run("image", "build", "mine", env=env).returncode, 0)
        equal(home.run("image", "build", "../work/elsewhere/mine", "by-path").returncode, 0)
        typo = home.run("image", "build", "tyo")
        equal(typo.returncode, 2)
        contains(typo.stderr, 'no recipe "tyo"; there are: later, toy')
        contains(typo.stderr, 'did you mean "toy"?')
        plain = home.run("image", "build", str(home.home / "recipes" / "notes.txt"))
        equal(plain.returncode, 2)
        contains(plain.stderr, "neither executable nor a Lua file")


def test_wrong_words_are_refused():
    with new_home() as home:
        recipe(home, "toy", GOOD)
        for words, message in (
                (["toy", "--set", "word"], "--set takes KEY=VALUE"),
                (["toy", "--set", "a-b=c"], "--set takes KEY=VALUE"),
                (["toy", "--role", "bta"], "bta"),
                (["toy", "--timeout", "0"], "--timeout must be above 0"),
                (["toy", "no/name"], "no/name"),
                (["toy", "--sett", "a=b"], "did you mean --set?"),
        ):
            run = home.run("image", "build", *words)
            equal(run.returncode, 2, words, run.stderr)
            contains(run.stderr, message)
        nothing_left(home, "toy")


def test_a_recipe_that_fails_leaves_nothing():
    with new_home() as home:
        recipe(home, "bad", GOOD + "echo the reason; echo more >&2; sleep 300 & exit 7\n")
        run = home.run("image", "build", "bad")
        equal(run.returncode, 3, run.stderr)
        contains(run.stderr, "failed with status 7")
        contains(run.stderr, "the reason\nmore\n")
        equal(run.stdout, "")
        nothing_left(home, "bad")


def test_a_wrong_image_is_refused():
    for text, message in (
            ("true", "image.json"),
            ("echo '{\"format\": 1, \"memmory\": 1}' >image.json", "memmory"),
            ("sed -i s/x86_64/aarch64/ image.json", "not for aarch64"),
            ("rm kernel", "kernel"),
            ("echo '[' >contents.json", "contents.json"),
            ("ln -s /etc/passwd link", "link"),
    ):
        with new_home() as home:
            body = "#!/bin/sh\n" if text == "true" else GOOD
            recipe(home, "wrong", body + text + "\n")
            run = home.run("image", "build", "wrong")
            check(run.returncode in (2, 3), text, run.returncode, run.stderr)
            contains(run.stderr, message)
            nothing_left(home, "wrong")


def interrupted(text, number, code, patience=30):
    with new_home() as home:
        mark = home.work / "begun"
        recipe(home, "slow", text)
        home.env["MARK"] = str(mark)
        run = home.start("image", "build", "slow")
        end = time.monotonic() + patience
        while not mark.exists():
            check(time.monotonic() < end and run.poll() is None, "it did not begin")
            time.sleep(0.02)
        run.send_signal(number)
        _, err = run.communicate(timeout=patience)
        equal(run.returncode, code, err)
        contains(err, "interrupted")
        equal((home.work / "begun.end").read_text(), "ended\n", "it could not clean up")
        nothing_left(home, "slow")


def test_ctrl_c_ends_it_and_leaves_nothing():
    text = ("#!/bin/sh\ntrap 'echo ended >>\"$MARK.end\"' EXIT\ntrap 'exit 1' TERM\n"
            "echo x >\"$VMTEST_IMAGE_DIR/half\"; echo >\"$MARK\"\nsleep 300 & wait\n")
    interrupted(text, signal.SIGINT, 130)
    interrupted(text, signal.SIGTERM, 143)


def test_a_recipe_has_a_deadline():
    with new_home() as home:
        recipe(home, "slow", "#!/bin/sh\nsleep 300\n")
        run = home.run("image", "build", "slow", "--timeout", "1s")
        equal(run.returncode, 3, run.stderr)
        contains(run.stderr, "did not end within 1.0s")
        nothing_left(home, "slow")


def test_output_is_shown_as_it_comes():
    with new_home() as home:
        recipe(home, "toy", GOOD)
        quiet, loud = home.run("image", "build", "toy"), home.run("image", "build", "toy", "-v")
        check("making toy" not in quiet.stderr, quiet.stderr)
        contains(loud.stderr, "making toy with nothing in ")
        equal(len(loud.stdout.splitlines()), 1, loud.stdout)


def qemu_img(*args):
    subprocess.run(["qemu-img", *map(str, args)], check=True, stdout=subprocess.DEVNULL)


def disk(path, content=b"boot"):
    data = bytearray(4 << 20)
    data[:len(content)] = content
    data[510:512] = b"\x55\xaa"
    path.write_bytes(data)
    return path


def test_disks_are_imported_by_their_content():
    with new_home() as home:
        raw = disk(home.work / "raw.bin")
        qcow2 = home.work / "really-qcow2.img"
        qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, qcow2)
        iso = home.work / "cd.raw"
        iso.write_bytes(b"\0" * 32769 + b"CD001" + b"\0" * 32762)
        for path, name, key in ((raw, "raw", "disk"), (qcow2, "cow", "disk"), (iso, "cd", "iso")):
            run = home.run("image", "import", str(path), name, "--memory", "256M", "--cpus", "2",
                           "--arch", "x86_64")
            equal(run.returncode, 0, run.stderr)
            folder = home.home / "images" / name / "latest"
            image = json.loads((folder / "image.json").read_text())
            equal((image["memory"], image["cpus"], image["arch"]), (256 << 20, 2, "x86_64"))
            equal(version_json(home, name)["recipe"], f"import {path}")
            if key == "iso":
                check((folder / image["iso"]).read_bytes() == iso.read_bytes(), "another CD")
            else:
                equal((folder / image["disk"]).read_bytes()[:4], b"QFI\xfb")
                qemu_img("compare", "-f", "qcow2", "-F", "raw", folder / image["disk"], raw)
        equal(home.leftovers(), [])


def test_what_is_no_disk_of_its_own_is_refused():
    with new_home() as home:
        secret = disk(home.work / "secret", b"secret")
        overlay, text, vmdk = (home.work / n for n in ("over.qcow2", "text.qcow2", "a.vmdk"))
        qemu_img("create", "-f", "qcow2", "-F", "raw", "-b", secret, overlay)
        text.write_text("QFI is not enough" * 100)
        vmdk.write_bytes(b"KDMV" + bytes(2048))
        outside = home.work / "outside.qcow2"
        data = home.work / "outside.data"
        qemu_img("create", "-f", "qcow2", "-o", f"data_file={data}", outside, "1M")
        torn = home.work / "torn.qcow2"
        torn.write_bytes(b"QFI\xfb" + struct.pack(">I", 3))
        for path, message in ((overlay, "refers to another file"), (text, "neither an archive"),
                              (vmdk, "another hypervisor"), (outside, "refers to another file"),
                              (torn, "qcow2"), (home.work / "gone", "no file")):
            run = home.run("image", "import", str(path), "evil")
            check(run.returncode in (2, 3), path, run.stderr)
            contains(run.stderr, message)
            nothing_left(home, "evil")


def test_cloud_init_gets_a_seed():
    for tool in ("mcopy", "ssh-keygen"):
        if not shutil.which(tool):
            print(f"without {tool}: not tested")
            return
    with new_home() as home:
        raw = disk(home.work / "cloud.img")
        run = home.run("image", "import", str(raw), "--cloud-init", "--ssh-user", "ada")
        equal(run.returncode, 0, run.stderr)
        folder = home.home / "images" / "cloud" / "latest"
        image = json.loads((folder / "image.json").read_text())
        equal(image["ssh"]["user"], "ada")
        equal(stat.S_IMODE((folder / image["ssh"]["key"]).stat().st_mode), 0o600)
        read = lambda name: subprocess.run(
            ["mtype", "-i", folder / image["seed"], f"::{name}"], check=True, text=True,
            capture_output=True, env={**os.environ, "MTOOLS_SKIP_CHECK": "1"}).stdout
        head, _, body = read("user-data").partition("\n")
        equal(head, "#cloud-config")
        data = json.loads(body)
        public = subprocess.run(["ssh-keygen", "-y", "-f", folder / image["ssh"]["key"]],
                                check=True, text=True, capture_output=True).stdout.split()
        equal(data["users"][0]["ssh_authorized_keys"][0].split()[:2], public[:2])
        equal(image["ssh"]["host_key"].split(), data["ssh_keys"]["ed25519_public"].split()[:2])
        contains(read("meta-data"), '"local-hostname": "cloud"')
        label = subprocess.run(["mlabel", "-s", "-i", folder / image["seed"], "::"], check=True,
                               text=True, capture_output=True).stdout
        contains(label.upper(), "CIDATA")
        wrong = home.run("image", "import", str(raw), "x", "--cloud-init", "--ssh-key", "/k")
        equal(wrong.returncode, 2)
        secrets = pathlib.Path(folder / "version.json").read_text()
        check("PRIVATE KEY" not in secrets + run.stdout + run.stderr)


main([test_a_recipe_makes_versions, test_recipes_are_found_by_name_and_path,
      test_wrong_words_are_refused, test_a_recipe_that_fails_leaves_nothing,
      test_a_wrong_image_is_refused, test_ctrl_c_ends_it_and_leaves_nothing,
      test_a_recipe_has_a_deadline, test_output_is_shown_as_it_comes,
      test_disks_are_imported_by_their_content, test_what_is_no_disk_of_its_own_is_refused,
      test_cloud_init_gets_a_seed])
