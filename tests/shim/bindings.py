#!/usr/bin/env python3
"""The contract of Apple's API beside what the Rust crate objc2-virtualization, made from Apple's headers, has of
it: nothing differs; and each difference that is planted in the crate is told. 77: skipped, there is no cargo or
no crate."""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

from auditing import audit, check_planted

CRATE, VERSION = "objc2-virtualization", "0.3.2"

PLANTED = [
    ("VZUSBController.rs", "method(usbDevices)", "method(devices)", "-[VZUSBController usbDevices]: no such method"),
    ("VZUSBController.rs", "device: &ProtocolObject<dyn VZUSBDevice>", "device: &VZUSBController",
     "attachDevice:completionHandler:]: the types are"),
    ("VZError.rs", "Self(30002)", "Self(30001)", "VZErrorDeviceAlreadyAttached: is 30001, not 30002"),
    ("VZMacAuxiliaryStorage.rs", "AllowOverwrite = 1<<0", "AllowOverwrite = 1<<1", "AllowOverwrite: is 2, not 1"),
    ("VZMacOSBootLoader.rs", "super(VZBootLoader, ", "super(", "VZMacOSBootLoader: its superclass is NSObject"),
    ("VZMacOSRestoreImage.rs", "completion_handler: &block2::DynBlock<dyn Fn(*mut VZMacOSRestoreImage, *mut NSError)>",
     "completion_handler: &block2::DynBlock<dyn Fn(*mut NSError)>", "fetchLatestSupportedWithCompletionHandler:]: the"),
    ("VZVirtualMachine.rs", "method(requestStopWithError:_)", "method(requestStop:_)", "requestStopWithError:]: no such"),
    ("VZVirtualMachineDelegate.rs", "trait VZVirtualMachineDelegate", "trait VZDelegate",
     "VZVirtualMachineDelegate: no such class or protocol"),
]


def skip(why):
    print("skipped:", why)
    sys.exit(77)


def fetched(folder):
    """Where cargo has the crate."""
    if not shutil.which("cargo"):
        skip("there is no cargo")
    manifest = folder / "Cargo.toml"
    (folder / "lib.rs").touch()
    manifest.write_text(f'[package]\nname = "none"\nversion = "0.0.0"\n[lib]\npath = "lib.rs"\n'
                        f'[dependencies]\n{CRATE} = "={VERSION}"\n', encoding="utf-8")
    run = subprocess.run(["cargo", "metadata", "--quiet", "--format-version", "1", "--manifest-path", manifest],
                         capture_output=True, text=True, check=False)
    if run.returncode:
        skip(f"cargo cannot fetch {CRATE}: {run.stderr.strip()[-300:]}")
    return next(pathlib.Path(package["manifest_path"]).parent for package in json.loads(run.stdout)["packages"]
                if package["name"] == CRATE)


def main():
    with tempfile.TemporaryDirectory(prefix="vtz-objc2-") as folder:
        folder = pathlib.Path(folder)
        crate = folder / "crate"
        shutil.copytree(fetched(folder), crate)
        code, said = audit("--objc2", crate)
        print(said.strip())
        if code or ", 0 differ" not in said or int(said.split()[0]) < 400:
            sys.exit("the contract differs from Apple's headers, or little of it was seen")
        check_planted(PLANTED, "--objc2", crate)


if __name__ == "__main__":
    main()
