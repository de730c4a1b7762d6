"""A guest for tests of the Lua face: this host, by an ssh server on loopback, in a mount namespace
whose root is an overlay, so that nothing it does stays. It has mdm_device.py for its device, or what
VMTEST_DEVICE names: a real vmtest-device."""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SFTP = ["/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server"]

# $1: folder, $2: where the root is put together; the rest: what is run in it
ENTER = """
set -e
folder=$1 root=$2
shift 2
mount -t tmpfs tmpfs "$root"
mkdir "$root/upper" "$root/work" "$root/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$root/upper,workdir=$root/work" "$root/root"
for place in /dev /proc; do mount --rbind "$place" "$root/root$place"; done
mount -t tmpfs -o mode=1777 tmpfs "$root/root/tmp"
mkdir -p "$root/root/run/sshd" "$root/root/usr/local/bin" "$root/root$folder"
mount --bind "$folder" "$root/root$folder"
for name in vmtest-device profiles; do install "$folder/device" "$root/root/usr/local/bin/$name"; done
for program in "$folder"/programs/*; do [ ! -e "$program" ] || install "$program" "$root/root/usr/local/bin"; done
exec chroot "$root/root" "$@"
"""


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def key(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    with open(path + ".pub", encoding="ascii") as file:
        return file.read().rsplit(" ", 1)[0]


def mac(version, approves=True):
    """Programs that make the guest look like a Mac whose user installs what is opened."""
    opened = 'exec vmtest-device enroll "$7"' if approves else "true"
    return {"sw_vers": f"echo {version}", "stat": "echo 501", "launchctl": opened,
            "ioreg": """sed -n 's/.*<string>\\(T.*\\)<.*/"IOPlatformSerialNumber" = "\\1"/p' """
                     "/var/lib/vmtest-device/self.plist"}


class Guest:
    """with Guest() as guest: guest.lua is the options of its VM. programs: name -> shell script, of
    more that it has."""

    def __init__(self, programs=None):
        self.programs = programs or {}
        self.program = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin")
        self.sftp = next((p for p in SFTP if os.path.exists(p)), None)
        if os.geteuid() != 0:
            skip("a guest that is this host needs root, for a mount namespace")
        if not self.program or not self.sftp or not shutil.which("ssh-keygen"):
            skip("there is no OpenSSH server")
        if not shutil.which("openssl") or not shutil.which("unshare"):
            skip("there is no openssl, or no unshare")
        self.folder = tempfile.mkdtemp(prefix="vmtest-mdm-guest-")
        self.process = None

    def config(self, port):
        return (f"Port {port}\nListenAddress 127.0.0.1\nHostKey {self.folder}/host\nPidFile none\n"
                f"AuthorizedKeysFile {self.folder}/authorized\nStrictModes no\nUsePAM no\n"
                f"MaxSessions 64\nSubsystem sftp {self.sftp}\nPermitRootLogin yes\n"
                f"SetEnv HOME={self.folder} PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n")

    def __enter__(self):
        host_key = key(self.folder + "/host")
        with open(self.folder + "/authorized", "w", encoding="ascii") as file:
            file.write(key(self.folder + "/user") + "\n")
        shutil.copy(os.environ.get("VMTEST_DEVICE", HERE + "/mdm_device.py"), self.folder + "/device")
        os.mkdir(self.folder + "/root")
        os.mkdir(self.folder + "/programs")
        for name, script in self.programs.items():
            with open(f"{self.folder}/programs/{name}", "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\n" + script + "\n")
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        with open(self.folder + "/config", "w", encoding="ascii") as file:
            file.write(self.config(port))
        with open(self.folder + "/log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, "enter",
                 self.folder, self.folder + "/root", self.program, "-D", "-e", "-f",
                 self.folder + "/config"], stderr=log)
        self.wait(port)
        self.lua = (f'{{ driver = "ssh", ssh = {{ host = "127.0.0.1", port = {port}, user = "root", '
                    f'key = "{self.folder}/user", host_key = "{host_key}" }} }}')
        return self

    def wait(self, port):
        for _ in range(200):
            if self.process.poll() is not None:
                with open(self.folder + "/log", encoding="utf-8") as log:
                    said = log.read()
                self.__exit__()
                skip("no root could be put together for the guest: " + said)
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the ssh server of the guest did not come up")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
