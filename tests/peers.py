"""Programs of others that tests run against and that Go builds: found, or built once; and where they listen."""
import os
import pathlib
import shutil
import socket
import subprocess

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "build" / "peers"


def free_port():
    """One of the loopback's that nobody listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def go_program(module):
    """The path of the program of "example.org/x/cmd/name@v1.2", of the module example.org/x, or None
    and why it cannot be had: $VMTEST_NAME, PATH, or what was built before, else it is built."""
    package, version = module.split("@")
    name = package.rsplit("/", 1)[1]
    found = os.environ.get(f"VMTEST_{name.upper()}") or shutil.which(name)
    built = FOLDER / f"{name}-{version}"
    if found or built.exists():
        return found or str(built), None
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if not go:
        return None, f"there is no {name}, and no Go to build it with"
    place = FOLDER / f".{os.getpid()}"
    place.mkdir(parents=True, exist_ok=True)
    # `go install` asks for all versions there are, which not every proxy tells
    (place / "go.mod").write_text(f"module peer\n\nrequire {package.split('/cmd/')[0]} {version}\n")
    got = subprocess.run([go, "build", "-mod=mod", "-o", name, package], capture_output=True, text=True,
                         check=False, cwd=place,
                         env=dict(os.environ, GOTOOLCHAIN="local", GOFLAGS="", GOWORK="off"))
    if not got.returncode:
        os.replace(place / name, built)
    shutil.rmtree(place)
    if got.returncode:
        return None, f"{name} cannot be built: {got.stderr.strip()[-300:]}"
    return str(built), None
