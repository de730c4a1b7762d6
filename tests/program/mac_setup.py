#!/usr/bin/env python3
"""Setting up on a Mac, as far as it can be known without one: the scripts with stand-ins for Homebrew and
Apple's tools, the formula beside the list of packages, the workflow for macOS runners."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from vt import check, contains, equal, main

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOBODY = 65534  # Homebrew does not work for root

PROGRAMS = {
    "uname": 'case ${1-} in -m) echo arm64 ;; *) echo Darwin ;; esac',
    "xcode-select": '[ -z "$FAKE_NO_TOOLS" ]',
    "brew": '''case $1 in
list) case " $FAKE_MISSING " in *" $3 "*) exit 1 ;; esac ;;
--prefix) echo "$FAKE/opt/$2" ;;
esac''',
    "luarocks": 'case $* in *show*) exit 1 ;; esac',
    "codesign": 'case " $* " in *" --display "*) echo com.apple.security.virtualization ;; esac',
    "cmake": '''echo "with $PKG_CONFIG_PATH" >>"$FAKE/called"
build=build/release
mkdir -p "$build/shim/vz"
printf '#!/bin/sh\\necho "vmtest $*" >>"$FAKE/called"\\n' >"$build/vmtest"
printf '#!/bin/sh\\ntrue\\n' >"$build/shim/vz/vmtest-vz"
chmod +x "$build/vmtest" "$build/shim/vz/vmtest-vz"''',
    "ctest": "",
}


class Clone:
    """A clone's scripts, on what they take for a Mac."""

    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="vmtest-clone-")).resolve()
        self.fake, self.home = self.path / "fake", self.path / "home"
        shutil.copytree(ROOT / "scripts", self.path / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "shim" / "vz", self.path / "shim" / "vz")
        (self.path / "bin").mkdir()
        for name, body in PROGRAMS.items():
            program = self.path / "bin" / name
            program.write_text(f'#!/bin/sh\necho "{name} $*" >>"$FAKE/called"\n{body}\n')
            program.chmod(0o755)
        for package in ("curl", "openssl@3", "lua@5.4"):
            (self.fake / "opt" / package / "lib" / "pkgconfig").mkdir(parents=True)
        self.home.mkdir()
        for folder, _, files in os.walk(self.path):
            for name in [folder] + [os.path.join(folder, file) for file in files]:
                if os.getuid() == 0:
                    os.chown(name, NOBODY, NOBODY)
        self.env = {**os.environ, "PATH": f"{self.path / 'bin'}:{os.environ['PATH']}", "FAKE": str(self.fake),
                    "HOME": str(self.home), "FAKE_MISSING": "", "FAKE_NO_TOOLS": "", "TMPDIR": str(self.home)}
        self.env.pop("VMTEST_HOME", None)
        self.env.pop("PKG_CONFIG_PATH", None)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def run(self, script, *words, root=False, **env):
        other = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 and not root else {}
        return subprocess.run([self.path / "scripts" / script, *words], env={**self.env, **env}, timeout=120,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
                              cwd=self.path, **other)

    def called(self):
        log = self.fake / "called"
        return log.read_text().splitlines() if log.exists() else []

    def add_image(self):
        folder = self.home / "Library/Application Support/vmtest/images/small/latest"
        folder.mkdir(parents=True)
        (folder / "image.json").write_text("{}")


def test_quickstart_up_to_the_image():
    with Clone() as clone:
        ran = clone.run("quickstart", FAKE_MISSING="lua@5.4 qemu")
        equal(ran.returncode, 1, ran.stderr)
        calls = clone.called()
        installs = [line for line in calls if line.startswith("brew install")]
        equal(installs, ["brew install lua@5.4 qemu"])
        check(any(line.startswith("luarocks --lua-version=5.4") and line.endswith("install luaunit")
                  for line in calls), calls)
        paths = [line for line in calls if line.startswith("with ")][0]
        for package in ("curl", "openssl@3", "lua@5.4"):
            contains(paths, f"{clone.fake}/opt/{package}/lib/pkgconfig")
        check("/opt/jansson" not in paths, paths)
        check(any("codesign --force --sign -" in line and line.endswith("shim/vz/vmtest-vz") for line in calls), calls)
        contains(ran.stderr, "there is no guest image yet")
        contains(ran.stderr, "image build macos NAME")
        check(not any(line.startswith("vmtest run") for line in calls), calls)


def test_quickstart_with_an_image():
    with Clone() as clone:
        clone.add_image()
        ran = clone.run("quickstart")
        equal(ran.returncode, 0, ran.stderr)
        calls = clone.called()
        check(not any(line.startswith("brew install") for line in calls), calls)
        check("vmtest run testsuites/quickstart.lua" in calls, calls)
        contains(ran.stderr, "It worked")


def test_the_tests_without_an_image():
    with Clone() as clone:
        ran = clone.run("test", "release", "-L", "unit")
        equal(ran.returncode, 0, ran.stderr)
        contains(ran.stderr, "tests on guests are skipped")
        equal(clone.called()[-1], f"ctest --preset release --no-tests=error --parallel {2 * os.cpu_count()} -L unit")
        check(not any("image build" in line for line in clone.called()), clone.called())


def test_what_is_missing_is_told():
    with Clone() as clone:
        tools = clone.run("quickstart", FAKE_NO_TOOLS="yes")
        equal(tools.returncode, 1)
        contains(tools.stderr, "xcode-select --install")
        (clone.path / "bin" / "brew").unlink()
        brew = clone.run("quickstart")
        equal(brew.returncode, 1)
        contains(brew.stderr, "Homebrew is needed")
        if os.getuid() == 0:
            contains(clone.run("quickstart", root=True).stderr, "Homebrew refuses to work for root")


def packages(purpose):
    words = subprocess.run(["bash", "-c", f". {ROOT}/scripts/lib.sh; packages_of brew:{purpose}"], check=True,
                           capture_output=True, text=True, timeout=60).stdout.split()
    check(words, purpose)
    return set(words)


def test_the_formula_needs_the_same():
    text = (ROOT / "scripts/homebrew/vmtest.rb").read_text()
    equal(set(re.findall(r'^  depends_on "([^"]+)"', text, re.M)), packages("build") | packages("guest"))
    contains(text, "shim/vz/vmtest-vz.entitlements")
    check((ROOT / "shim/vz/vmtest-vz.entitlements").exists())
    if shutil.which("ruby"):
        equal(subprocess.run(["ruby", "-c", ROOT / "scripts/homebrew/vmtest.rb"], capture_output=True,
                             timeout=60, check=False).returncode, 0)


def test_the_workflow():
    try:
        import yaml
    except ImportError:
        print("left out: no python3-yaml here")
        return
    path = ROOT / ".github/workflows/macos.yml"
    flow = yaml.safe_load(path.read_text())
    equal(flow["permissions"], {"contents": "read"})
    job = flow["jobs"]["build"]
    check(all(re.fullmatch(r"macos-\d+", runner) for runner in job["strategy"]["matrix"]["runner"]))
    check(0 < job["timeout-minutes"] <= 60)
    tests = (ROOT / "tests/program/CMakeLists.txt").read_text()
    for step in job["steps"]:
        check(("run" in step) != ("uses" in step), step)
        script = step.get("run", "")
        ran = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, timeout=60, check=False)
        equal(ran.returncode, 0, script, ran.stderr)
        for name in re.findall(r"(?:\./)?(scripts/[a-z/-]+)", script):
            check(os.access(ROOT / name, os.X_OK), name)
        for group in re.findall(r"program\\\.\(([^)]*)\)", script):
            for name in group.split("|"):
                contains(tests, f"vt_program_test({name} ")


if __name__ == "__main__":
    main([test_quickstart_up_to_the_image, test_quickstart_with_an_image, test_the_tests_without_an_image,
          test_what_is_missing_is_told, test_the_formula_needs_the_same, test_the_workflow])
