#!/usr/bin/env python3
"""volumes.py --attached PLIST     the whole disk that `hdiutil attach -plist` told of
volumes.py DISK                  the Data volume of macOS on it, from `diskutil apfs list -plist` on
                                 standard input; the volume with that role in the container with a System
                                 volume, for there are others (recovery, the controller's)"""
import plistlib
import re
import sys

SIZE_MAX = 16 << 20


def whole(device):
    """/dev/disk4s2 -> disk4"""
    found = re.fullmatch(r"(?:/dev/)?(disk\d+)(?:s\d+)*", device or "")
    return found.group(1) if found else None


def attached(plist):
    entities = plist.get("system-entities", [])
    disks = {whole(e.get("dev-entry")) for e in entities
             if e.get("content-hint") == "GUID_partition_scheme"}
    if len(disks) != 1 or None in disks:
        sys.exit("volumes.py: hdiutil told of no disk with a GUID partition scheme")
    return "/dev/" + disks.pop()


def data_volume(plist, disk):
    found = []
    for container in plist.get("Containers", []):
        stores = {whole(s.get("DeviceIdentifier")) for s in container.get("PhysicalStores", [])}
        volumes = container.get("Volumes", [])
        roles = [role for v in volumes for role in v.get("Roles", [])]
        if whole(disk) in stores and "System" in roles:
            found += [v["DeviceIdentifier"] for v in volumes if v.get("Roles") == ["Data"]]
    if len(found) != 1:
        sys.exit(f"volumes.py: {disk} has {len(found)} Data volumes beside a System volume: one is needed")
    return found[0]


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--attached":
        with open(sys.argv[2], "rb") as file:
            print(attached(plistlib.loads(file.read(SIZE_MAX))))
    elif len(sys.argv) == 2 and whole(sys.argv[1]):
        print(data_volume(plistlib.loads(sys.stdin.buffer.read(SIZE_MAX)), sys.argv[1]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
