"""Images made by VMs, and VMs of images that boot in other ways: Lua recipes, refresh, a CD that EFI
boots, arm64. On the images "small" and "small-disk"; what else there is not is passed over."""
import json
import os
import shutil
import subprocess

from vt import Home, check, contains, equal, image_store, main, need_image

need_image("small")
need_image("small-disk")

LOOK = """
local vmtest, lu = require "vmtest", require "luaunit"
function test_look()
  local vm = vmtest.vm { image = %s }
  local r = vm:exec(%s)
  lu.assertEquals(r.status, 0, r.stderr)
  print("SEEN " .. r.stdout)
end
"""


def new_home(*images):
    """A home with copies of these images: what a test adds is its own."""
    home = Home()
    for name in images:
        shutil.copytree(image_store() / name, home.home / "images" / name, symlinks=True)
    return home


def look(home, image, command, timeout=160):
    suite = home.suite("look.lua", LOOK % (json.dumps(image), json.dumps(command)))
    run = home.run("run", suite, timeout=timeout)
    equal(run.returncode, 0, run.stdout + run.stderr)
    return "".join(e["text"] for e in home.events() if e["type"] == "output")


def versions(home, name):
    folder = home.home / "images" / name
    return sorted(f.name for f in folder.iterdir() if not f.is_symlink())


def facts(home, name, version="latest"):
    return json.loads((home.home / "images" / name / version / "version.json").read_text())


MARK = "mount -t vfat /dev/vda1 /mnt && %s; s=$?; umount /mnt; exit $s"


def add_seed(home):
    """Makes "seeded" of "small-disk": the same with a small second disk, as cloud-init would read."""
    folder = home.work / "seeded"
    shutil.copytree(home.home / "images/small-disk/latest", folder)
    (folder / "version.json").unlink()
    description = json.loads((folder / "image.json").read_text())
    (folder / "image.json").write_text(json.dumps({**description, "seed": "seed.img"}))
    (folder / "seed.img").write_bytes(b"seed".ljust(1 << 20, b"."))
    made = home.run("image", "import", str(folder))
    equal(made.returncode, 0, made.stderr)


def test_a_lua_recipe_and_a_refresh():
    with new_home("small-disk") as home:
        add_seed(home)
        lua = home.work / "marked.lua"
        lua.write_text("""-- description: the small guest with a mark
return function(set)
  return {
    from = "seeded", memory = "192M", description = "with a mark",
    build = function(vm) vm:sh(%s, { env = { WORD = set.word } }) end,
  }
end
""" % json.dumps(MARK % 'echo "$WORD" >/mnt/mark'))
        built = home.run("image", "build", str(lua), "--set", 'word=a "b" \\c')
        equal(built.returncode, 0, built.stderr)
        equal(home.leftovers(), [])
        made = facts(home, "marked")
        check(made["parent"].startswith("seeded@"), made["parent"])
        check("cloud" in made["contents"]["kernel"], made["contents"])
        equal(made["description"], "with a mark")
        image = json.loads((home.home / "images/marked/latest/image.json").read_text())
        equal(image["memory"], 192 << 20)
        old = home.home / "images" / "marked" / versions(home, "marked")[0]
        before = (old / "disk.qcow2").read_bytes()
        fresh = home.run("image", "refresh", "marked", "--command",
                         MARK % ('grep -q "^a \\"b\\"" /mnt/mark && grep -q seed /dev/vdb'
                                 ' && echo more >>/mnt/mark'))
        equal(fresh.returncode, 0, fresh.stderr)
        equal(len(versions(home, "marked")), 2)
        check((old / "disk.qcow2").read_bytes() == before, "the old version was changed")
        equal(facts(home, "marked")["parent"], f"marked@{old.name}")
        contains(look(home, "marked", MARK % "cat /mnt/mark; head -c 4 /dev/vdb"), 'SEEN a "b" \\c\nmore\nseed')


def test_what_fails_in_the_guest_makes_no_version():
    with new_home("small-disk", "small") as home:
        before = {name: versions(home, name) for name in ("small", "small-disk")}
        failed = home.run("image", "refresh", "small-disk", "--command", "echo the reason >&2; exit 9")
        equal(failed.returncode, 3, failed.stderr)
        contains(failed.stderr, "the reason")
        unknown = home.run("image", "refresh", "small-disk")
        equal(unknown.returncode, 3, unknown.stderr)
        contains(unknown.stderr, "not known how to update this guest")
        diskless = home.run("image", "refresh", "small")
        equal(diskless.returncode, 2, diskless.stderr)
        contains(diskless.stderr, "has no disk")
        lua = home.work / "mine.lua"
        lua.write_text('return { from = "small", build = function() end }')
        refused = home.run("image", "build", str(lua))
        equal(refused.returncode, 3, refused.stderr)
        contains(refused.stderr, "has no disk")
        lua.write_text('return { form = "small", build = function() end }')
        typo = home.run("image", "build", str(lua))
        contains(typo.stderr, "form")
        for name, those in before.items():
            equal(versions(home, name), those)
        check(not (home.home / "images" / "mine").exists() or versions(home, "mine") == [])
        equal(home.leftovers(), [])


def vmlinuz(home):
    """The small guest's kernel as EFI can start it, of the package that it was made of."""
    version = facts(home, "small")["contents"]["kernel"]
    for deb in (image_store().parent / "cache" / "packages").glob(f"linux-image-{version}_*.deb"):
        tar = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
        out = subprocess.run(["tar", "-xO", f"./boot/vmlinuz-{version}"], stdin=tar.stdout,
                             capture_output=True, check=False)
        tar.stdout.close()
        tar.wait()
        if out.returncode == 0:
            return out.stdout
    return None


def test_a_cd_is_booted_by_efi():
    for tool in ("xorriso", "mformat", "dpkg-deb"):
        if not shutil.which(tool):
            print(f"without {tool}: not tested")
            return
    if os.uname().machine != "x86_64" or not os.path.exists("/usr/share/OVMF"):
        print("no EFI for x86-64 here: not tested")
        return
    with new_home("small") as home:
        kernel = vmlinuz(home)
        if not kernel:
            print("the kernel's package is not in the cache: not tested")
            return
        small = home.home / "images" / "small" / "latest"
        tree, esp, iso = home.work / "tree", home.work / "tree" / "esp.img", home.work / "cd.iso"
        tree.mkdir()
        (home.work / "vmlinuz").write_bytes(kernel)
        (home.work / "startup.nsh").write_text(
            "fs0:\\vmlinuz initrd=\\initrd console=ttyS0 quiet panic=-1 from-cd\r\n")
        env = {**os.environ, "MTOOLS_SKIP_CHECK": "1"}
        tool = lambda *args: subprocess.run([str(a) for a in args], check=True, env=env,
                                            capture_output=True)
        tool("mformat", "-C", "-i", esp, "-T", 30 * 2048, "-h", 64, "-s", 32, "::")
        tool("mcopy", "-i", esp, home.work / "vmlinuz", small / "initrd",
             home.work / "startup.nsh", "::")
        tool("xorriso", "-as", "mkisofs", "-o", iso, "-e", "esp.img", "-no-emul-boot", tree)
        made = home.run("image", "import", str(iso), "cd", "--firmware", "efi", "--memory", "512M",
                        "--ssh-user", "root", "--ssh-key", str(small / "id_ed25519"))
        equal(made.returncode, 0, made.stderr)
        seen = look(home, "cd", "cat /proc/cmdline; ls /sys/firmware/efi/runtime >/dev/null")
        contains(seen, "from-cd")
        equal(home.leftovers(), [])


def test_an_arm64_guest():
    if not (image_store() / "arm64" / "latest").exists() or not shutil.which("qemu-system-aarch64"):
        print("no image \"arm64\" or no qemu-system-aarch64: not tested")
        return
    with new_home("arm64") as home:
        contains(look(home, "arm64", "uname -m"), "SEEN aarch64")


main([test_a_lua_recipe_and_a_refresh, test_what_fails_in_the_guest_makes_no_version,
      test_a_cd_is_booted_by_efi, test_an_arm64_guest])
