"""The image store as users meet it: versions, archives, removal; and that whatever is killed, damaged
or full leaves the store whole."""
import fcntl
import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import time

import vt

KIB, MIB = 1 << 10, 1 << 20


def make_folder(path, data=0, sparse=0, note="a"):
    """A folder that can be imported: a kernel, by its looks, and a disk of `data` random bytes, the
    last ones behind a hole that makes it `sparse` bytes long."""
    path.mkdir()
    (path / "kernel").write_bytes(bytes(0x202) + b"HdrS" + note.encode() * 600)
    (path / "key").write_text("secret of " + note)
    (path / "key").chmod(0o600)
    description = {"format": 1, "os": "linux", "arch": "x86_64", "kernel": "kernel",
                   "memory": "64M", "description": "note " + note,
                   "ssh": {"user": "root", "key": "key", "password": "hush-" + note}}
    if data or sparse:
        disk = path / "disk.raw"
        with open(disk, "wb") as f:
            bits = random.Random(note).randbytes(data)
            f.write(bits[:data // 2])
            f.seek(max(sparse, data) - (data - data // 2))
            f.write(bits[data // 2:])
        description |= {"disk": "disk.raw", "disk_format": "raw"}
    (path / "image.json").write_text(json.dumps(description))
    return path


def add(home, name="one", **what):
    folder = home.path / f"folder-{random.getrandbits(40):x}"
    made = home.run("image", "import", str(make_folder(folder, **what)), "--as", name)
    vt.equal(made.returncode, 0, made.stderr)
    return made.stdout.strip()


def versions(home, *names):
    listed = home.run("image", "ls", "--json", *names)
    vt.equal(listed.returncode, 0, listed.stderr)
    return json.loads(listed.stdout)


def full_names(home):
    return [f"{v['name']}@{v['version']}" for v in versions(home)]


def store_files(home):
    """Everything in the store but its lock."""
    root = home.home / "images"
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.name != ".lock")


def whole(home):
    """The store has no half-made version, and all versions are what they were."""
    left = [f for f in store_files(home) if any(part[0] == "." for part in f.split("/"))]
    vt.equal(left, [])
    verified = home.run("image", "verify")
    vt.equal(verified.returncode, 0, verified.stderr)


def refused(home, words, *args, code=3):
    done = home.run(*args)
    vt.equal(done.returncode, code, done.stderr)
    vt.contains(done.stderr, words)


def versions_are_told():
    with vt.Home() as home:
        vt.contains(home.run("image", "ls").stderr, "vmtest image build small")
        first, second = add(home, note="a"), add(home, note="b")
        rows = home.run("image", "ls").stdout
        vt.contains(rows, first.split("@")[1])
        vt.check("latest" in rows.splitlines()[2] and "latest" not in rows.splitlines()[1], rows)
        shown = home.run("image", "show", "one").stdout
        for part in (second, "note b", "ssh as root, by a key or a password", 'image = "one"'):
            vt.contains(shown, part)
        for text in (shown, rows, home.run("image", "show", "one", "--json").stdout):
            vt.check("hush" not in text and "secret" not in text, text)
        vt.contains(home.run("image", "show", first).stdout, f'image = "{first}"')
        refused(home, 'did you mean "one"', "image", "show", "onr", code=2)
        refused(home, "there are: ", "image", "show", "one@20200101.1", code=2)
        refused(home, "vmtest image verify", "image", "verfy", code=2)

        vt.equal(home.run("image", "role", "one", "beta").returncode, 0)
        third = add(home, note="c")
        vt.equal([v.get("role") for v in versions(home)], [None, None, "beta"])
        vt.equal(home.run("image", "deprecate", "one", "too \x1b[31mnew").returncode, 0)
        marked = versions(home)
        vt.check(marked[1]["latest"] and marked[2]["deprecated"], marked)
        vt.check("\x1b" not in home.run("image", "ls").stdout)
        vt.equal(home.run("image", "deprecate", third, "--undo").returncode, 0)
        vt.check(versions(home)[2]["latest"])


def damage_is_named():
    with vt.Home() as home:
        add(home)
        folder = pathlib.Path(versions(home)[0]["dir"])
        (folder / "kernel").write_bytes((folder / "kernel").read_bytes()[:-1] + b"X")
        refused(home, str(folder / "kernel") + " is damaged", "image", "verify")
        refused(home, "is damaged", "image", "export", "one", str(home.work / "x"))
        vt.equal(os.listdir(home.work), [])
        (folder / "version.json").write_text("{}")
        vt.contains(home.run("image", "ls").stdout, "damaged")
        refused(home, "version.json", "image", "verify", "one")
        vt.equal(home.run("image", "rm", "one").returncode, 0)
        vt.equal(store_files(home), [])


def digest_of(files):
    lines = "".join(f"{f['sha256']} {f['size']} {f['name']}\n" for f in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def archives_keep_everything():
    with vt.Home() as home, vt.Home() as other:
        name = add(home, data=9 * MIB, sparse=300 * MIB, note="sparse")
        home.run("image", "role", "one", "current")
        archive = str(home.work / "one.vmtest")
        done = home.run("image", "export", "one", archive)
        vt.equal(done.returncode, 0, done.stderr)
        vt.contains(done.stderr, "keys")
        vt.equal(os.listdir(home.work), ["one.vmtest"])
        vt.equal(os.stat(archive).st_mode & 0o777, 0o600)
        vt.check(os.stat(archive).st_size < 10 * MIB, "holes are in it")
        done = other.run("image", "import", archive)
        vt.equal((done.returncode, done.stdout.strip()), (0, name), done.stderr)
        before, after = versions(home)[0], versions(other)[0]
        vt.equal(before["sha256"], digest_of(before["files"]))
        kernel = (pathlib.Path(before["dir"]) / "kernel").read_bytes()
        vt.equal([f["sha256"] for f in before["files"] if f["name"] == "kernel"],
                 [hashlib.sha256(kernel).hexdigest()])
        for key in ("sha256", "created", "recipe", "files", "version", "description"):
            vt.equal(after[key], before[key], key)
        vt.check("role" not in after, "roles are the store's own")
        disk = os.stat(pathlib.Path(after["dir"]) / "disk.raw")
        vt.equal(disk.st_size, 300 * MIB)
        vt.check(disk.st_blocks * 512 < 12 * MIB, "not sparse")
        vt.equal(os.stat(pathlib.Path(after["dir"]) / "key").st_mode & 0o777, 0o600)
        whole(other)
        vt.contains(other.run("image", "import", archive).stderr, "already")
        vt.equal(len(versions(other)), 1)
        vt.equal(other.run("image", "import", archive, "--as", "two").returncode, 0)
        vt.equal(len(versions(other)), 2)
        add(other, "three", note="another")
        taken = versions(other, "three")[0]["version"]
        if taken == name.split("@")[1]:
            refused(other, "another three@" + taken, "image", "import", archive, "--as", "three")
        with open(archive, "rb") as f:
            piped = subprocess.run([vt.VMTEST, "image", "import", "-", "--as", "four"], stdin=f,
                                   env=other.env, capture_output=True, text=True, check=False)
        vt.equal(piped.returncode, 0, piped.stderr)
        piped = subprocess.run([vt.VMTEST, "image", "export", "one", "-"], env=home.env,
                               capture_output=True, check=False)
        vt.equal(piped.stdout, pathlib.Path(archive).read_bytes())


def damaged_archives_are_refused():
    with vt.Home() as home, vt.Home() as other:
        add(home, data=5 * MIB, note="d")
        path = home.work / "a"
        home.run("image", "export", "one", str(path))
        good = path.read_bytes()
        size = len(good)
        cases = [(at, None) for at in (0, 5, 9, 13, 60, 400, size // 2, size - 900, size - 2)]
        for at, _ in cases:
            path.write_bytes(good[:at] + bytes([good[at] ^ 0x5a]) + good[at + 1:])
            done = other.run("image", "import", str(path))
            vt.check(done.returncode in (2, 3), at, done.returncode, done.stderr)
            vt.equal(versions(other), [], at)
        vt.equal(home.run("gc").returncode, 0)
        other.run("gc")
        vt.equal(store_files(other), [])
        path.write_bytes(good + b"more")
        refused(other, "goes on where it should end", "image", "import", str(path))
        vt.equal(store_files(other), [])


def crafted_archives_are_refused():
    """Manifests that lie, with digests that fit them."""
    with vt.Home() as home, vt.Home() as other:
        add(home, data=MIB, note="d")
        path = home.work / "a"
        home.run("image", "export", "one", str(path))
        good = path.read_bytes()
        end = 44 + int.from_bytes(good[8:12], "big")

        def craft(change):
            manifest = json.loads(good[44:end])
            change(manifest)
            text = json.dumps(manifest, separators=(",", ":")).encode()
            path.write_bytes(good[:8] + len(text).to_bytes(4, "big") +
                             hashlib.sha256(text).digest() + text + good[end:])
            return other.run("image", "import", str(path))

        def rename(name):
            def change(manifest):
                image, old = manifest["image"], list(manifest["image"]["files"])
                old[0]["name"] = name
                image["files"].sort(key=lambda f: f["name"])
                image["sha256"] = digest_of(image["files"])
                manifest["extents"] = sorted(
                    [image["files"].index(old[file]), at, size]
                    for file, at, size in manifest["extents"])
            return change

        def member(*keys, value):
            def change(manifest):
                at = manifest
                for key in keys[:-1]:
                    at = at[key]
                at[keys[-1]] = value
            return change

        changes = [rename(n) for n in ("../evil", "/tmp/evil", "a/b", "..", ".hidden", "kernel",
                                       "version.json", "x" * 65, "")]
        def other_digest(manifest):
            image = manifest["image"]
            image["files"][0]["sha256"] = "0" * 64
            image["sha256"] = digest_of(image["files"])

        changes.append(other_digest)
        changes += [member("image", "name", value=v) for v in ("../x", "a/b", "", 5)]
        changes += [member("image", "version", value=v) for v in ("../1", "latest", "20260101.0")]
        changes += [member("extents", value=v) for v in
                    ([[0, 0, 1 << 62]], [[9, 0, 1]], [[0, -1, 5]], [[0, 0, 0]], [[0, 0]], 5,
                     [[0, 0, 10], [0, 5, 10]], [[1, 0, 1], [0, 0, 1]], [[0, 1 << 62, 1 << 62]])]
        changes += [member("chunk", value=1), member("format", value=2), member("image", value=[])]
        for i, change in enumerate(changes):
            done = craft(change)
            vt.equal(done.returncode, 3, i, done.stderr)
            vt.check("Traceback" not in done.stderr and "block" not in done.stderr, i, done.stderr)
            vt.equal(store_files(other), [], i)
        done = craft(lambda manifest: None)
        vt.equal(done.returncode, 0, done.stderr)


def cut_off_archives_go_on():
    with vt.Home() as home, vt.Home() as other:
        add(home, data=100 * MIB, note="cut")
        path = home.work / "a"
        home.run("image", "export", "one", str(path))
        good = path.read_bytes()
        path.write_bytes(good[:80 * MIB])
        refused(other, "cut off", "image", "import", str(path))
        vt.equal(versions(other), [])
        path.write_bytes(good)
        done = other.run("image", "import", str(path))
        vt.equal(done.returncode, 0, done.stderr)
        vt.contains(done.stderr, "went on after 64 MiB")
        whole(other)
        # given up: gc removes what is left of it
        path.write_bytes(good[:80 * MIB])
        refused(other, "cut off", "image", "import", str(path), "--as", "two")
        vt.contains(other.run("gc").stdout, "import that was interrupted")
        whole(other)
        vt.equal(len(versions(other)), 1)


def kill_when(process, condition):
    """kill -9 as soon as the condition holds; False where the process ended before."""
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        if condition():
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()
            process.stderr.close()
            return process.returncode == -signal.SIGKILL
    process.communicate()
    return False


def kill_in_the_middle(start, condition, undo):
    """kill -9 when the condition holds; once more where the process was faster than we."""
    for _ in range(20):
        if kill_when(start(), condition):
            return
        undo()
    vt.check(False, "it always ended before it could be killed")


def size_of(path):
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def killed_exports_go_on():
    with vt.Home() as home:
        add(home, data=120 * MIB, note="k")
        straight, path = home.work / "straight", home.work / "a"
        home.run("image", "export", "one", str(straight))
        part = f"{path}.part"
        for limit in (20 * MIB, 60 * MIB):
            kill_in_the_middle(lambda: home.start("image", "export", "one", str(path)),
                               lambda: size_of(part) >= limit,
                               lambda: path.unlink(missing_ok=True))
        vt.check(not path.exists() and size_of(part) >= 60 * MIB)
        done = home.run("image", "export", "one", str(path))
        vt.equal(done.returncode, 0, done.stderr)
        vt.contains(done.stderr, "went on after")
        vt.equal(sorted(os.listdir(home.work)), ["a", "straight"])
        vt.check(path.read_bytes() == straight.read_bytes(), "another archive")
        # of another version: begun anew
        (home.work / "b.part").write_bytes(straight.read_bytes()[:50 * MIB])
        add(home, note="new", data=MIB)
        done = home.run("image", "export", "one", str(home.work / "b"))
        vt.equal(done.returncode, 0, done.stderr)
        vt.check("went on" not in done.stderr and size_of(home.work / "b") < 2 * MIB)


def killed_imports_go_on():
    with vt.Home() as home, vt.Home() as other:
        add(home, data=150 * MIB, note="k")
        path = home.work / "a"
        home.run("image", "export", "one", str(path))
        stages = other.home / "images" / "one"

        def written():
            return sum(f.stat().st_blocks * 512 for f in stages.glob(".import-*/disk.raw"))

        kill_in_the_middle(lambda: other.start("image", "import", str(path)),
                           lambda: written() > 100 * MIB,
                           lambda: other.run("image", "rm", "one"))
        vt.equal(versions(other), [])
        done = other.run("image", "import", str(path))
        vt.equal(done.returncode, 0, done.stderr)
        vt.contains(done.stderr, "went on after")
        whole(other)
        vt.equal(versions(other)[0]["sha256"], versions(home)[0]["sha256"])


def killed_commits_leave_the_store_whole():
    with vt.Home() as home:
        folder = make_folder(home.path / "folder", data=3 * MIB, note="c")
        start = time.monotonic()
        home.run("image", "import", str(folder), "--as", "one")
        took = time.monotonic() - start
        made = 1
        for i in range(40):
            process = home.start("image", "import", str(folder), "--as", "one")
            time.sleep(took * 1.2 * i / 40)
            process.kill()
            out, _ = process.communicate()
            made += bool(out.strip())
            names = full_names(home)
            vt.check(len(names) >= made, names)
            made = len(names)
            shown = home.run("image", "show", "one")
            vt.equal(shown.returncode, 0, shown.stderr)
            vt.equal([v["latest"] for v in versions(home)], [False] * (made - 1) + [True])
        vt.equal(home.run("gc", "--keep", "100").returncode, 0)
        whole(home)
        vt.equal(len(versions(home)), made)


class Tmpfs:
    """A small file system of its own."""

    def __init__(self, path, size):
        self.path = path
        path.mkdir(exist_ok=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs",
                               str(path)], capture_output=True, text=True, check=False)
        self.mounted = done.returncode == 0

    def __enter__(self):
        return self.mounted

    def __exit__(self, *_):
        if self.mounted:
            subprocess.run(["umount", str(self.path)], check=True)


def full_disks_leave_nothing():
    with vt.Home() as home, vt.Home() as other:
        with Tmpfs(other.home, 60 * MIB) as mounted:
            if not mounted:
                print("skipped here: no tmpfs can be mounted (not root)")
                return
            add(home, data=100 * MIB, note="f")
            archive, folder = home.work / "a", home.path / "folder"
            home.run("image", "export", "one", str(archive))
            make_folder(folder, data=100 * MIB, note="f")
            refused(other, "free", "image", "import", str(archive))
            vt.equal(store_files(other), [])
            refused(other, "No space left", "image", "import", str(folder), "--as", "one")
            vt.equal(store_files(other), [])
            refused(home, "No space left", "image", "export", "one", str(other.home / "x"))
            vt.equal(sorted(os.listdir(other.home)), ["images"])
        with Tmpfs(other.home, 140 * MIB):
            # the disk becomes full in the middle
            process = other.start("image", "import", "-", stdin=subprocess.PIPE, text=False)
            data = archive.read_bytes()
            process.stdin.write(data[:40 * MIB])
            process.stdin.flush()
            filler = other.home / "filler"
            with open(filler, "wb", buffering=0) as f:
                try:
                    while True:
                        f.write(bytes(MIB))
                except OSError:
                    pass
            try:
                process.stdin.write(data[40 * MIB:])
                process.stdin.close()
            except BrokenPipeError:
                pass
            process.stdin = None
            _, err = process.communicate()
            vt.equal(process.returncode, 3, err)
            vt.contains(err.decode(), "No space left")
            vt.equal(store_files(other), [])
            filler.unlink()


def what_others_are_made_of_stays():
    with vt.Home() as home:
        first, second, third = (add(home, note=n) for n in "abc")
        add(home, note="d")
        records = {"snapshots/clean/snapshot.json": {"vm": {"config": {"image": first}}},
                   "vms/web/vm.json": {"config": {"name": "web", "image": second}}}
        for path, record in records.items():
            file = home.home / path
            file.parent.mkdir(parents=True)
            file.write_text(json.dumps(record))
        refused(home, "snapshots/clean/snapshot.json", "image", "rm", first)
        refused(home, "vms/web/vm.json", "image", "rm", second, "--force")
        vt.equal(home.run("gc").returncode, 0)
        vt.check(third not in full_names(home) and len(full_names(home)) == 3, full_names(home))
        # what cannot be read may be made of anything
        (home.home / "vms/web/vm.json").write_text("{")
        refused(home, "vms/web/vm.json", "image", "rm", second)
        (home.home / "vms/web/vm.json").unlink()
        vt.equal(home.run("image", "rm", second).returncode, 0)
        whole(home)


def removal_asks_for_force():
    with vt.Home() as home:
        first, second = add(home, note="a"), add(home, note="b")
        refused(home, "latest", "image", "rm", second)
        home.run("image", "role", first, "legacy")
        refused(home, 'role "legacy"', "image", "rm", first)
        refused(home, 'role "legacy"', "image", "rm", "one")
        vt.equal(full_names(home), [first, second])
        vt.equal(home.run("image", "rm", second, "--force").returncode, 0)
        vt.check(versions(home)[0]["latest"])
        vt.equal(home.run("image", "rm", "one", "--force").returncode, 0)
        vt.equal(store_files(home), [])
        refused(home, "is empty", "image", "rm", "one", code=2)


def gc_leaves_what_is_needed():
    with vt.Home() as home:
        names = [add(home, note=str(n)) for n in range(6)]
        home.run("image", "role", names[0], "legacy")
        home.run("image", "deprecate", names[5], "broken")
        home.run("image", "deprecate", names[1], "old")
        before = store_files(home)
        dry = home.run("gc", "--dry-run", "--keep", "2")
        vt.equal(dry.returncode, 0, dry.stderr)
        vt.equal(store_files(home), before)
        for gone in (names[1], names[2], names[5]):
            vt.contains(dry.stdout, gone.split("@")[1])
        done = json.loads(home.run("gc", "--keep", "2", "--json").stdout)
        vt.equal(full_names(home), [names[0], names[3], names[4]])
        vt.equal(len(done["removed"]), 3)
        vt.check(done["freed"] >= 3 * 4096, done)
        vt.check(versions(home)[2]["latest"])
        whole(home)
        refused(home, "whole number", "gc", "--keep", "some", code=2)


def gc_removes_what_dead_runs_left():
    with vt.Home() as home:
        add(home)
        for run in ("dead", "alive", "elsewhere"):
            (home.home / "scratch" / run / "1-vm").mkdir(parents=True)
            (home.home / "scratch" / run / "1-vm" / "disk.qcow2").write_bytes(bytes(MIB))
        (home.home / "scratch" / "from-before" / "x").mkdir(parents=True)
        os.utime(home.home / "scratch" / "from-before", (1, 1))
        for run in ("dead", "alive"):
            (home.runtime / run).mkdir()
        (home.home / "cache" / "packages").mkdir(parents=True, exist_ok=True)
        (home.home / "cache" / "packages" / "x.deb").write_bytes(bytes(64 * KIB))
        with open(home.runtime / "alive" / "lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            time.sleep(3)  # what is newer might just begin
            done = home.run("gc")
            vt.equal(done.returncode, 0, done.stderr)
            vt.contains(done.stdout, "packages")
            left = sorted(os.listdir(home.home / "scratch"))
            vt.equal(left, ["alive", "elsewhere"])
            vt.check(not (home.runtime / "dead").exists() and (home.runtime / "alive").exists())
            vt.check(not (home.home / "cache" / "packages").exists())


def many_gcs_at_once():
    with vt.Home() as home:
        names = [add(home, note=str(n), data=64 * KIB) for n in range(8)]
        folder = make_folder(home.path / "more", data=64 * KIB, note="more")
        crowd = [home.start("gc", "--json") for _ in range(4)]
        crowd += [home.start("image", "import", str(folder), "--as", "one") for _ in range(3)]
        freed = 0
        for process in crowd:
            out, err = process.communicate()
            vt.equal(process.returncode, 0, err)
            freed += len(json.loads(out)["removed"]) if out.startswith("{") else 0
        home.run("gc")
        left = full_names(home)
        vt.equal(len(left), 1)
        vt.check(left[0] not in names, left)
        vt.check(freed >= 7, freed)
        whole(home)


vt.main([
    versions_are_told,
    damage_is_named,
    archives_keep_everything,
    damaged_archives_are_refused,
    crafted_archives_are_refused,
    cut_off_archives_go_on,
    killed_exports_go_on,
    killed_imports_go_on,
    killed_commits_leave_the_store_whole,
    full_disks_leave_nothing,
    what_others_are_made_of_stays,
    removal_asks_for_force,
    gc_leaves_what_is_needed,
    gc_removes_what_dead_runs_left,
    many_gcs_at_once,
])
