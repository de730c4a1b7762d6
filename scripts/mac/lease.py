#!/usr/bin/env python3
"""lease.py MAC [FILE]: the address that macOS's DHCP server gave to this MAC last (/var/db/dhcpd_leases)."""
import re
import sys

FILE_MAX = 4 << 20


def plain(mac):
    """The file writes each byte without its leading zero."""
    parts = mac.lower().split(":")
    if len(parts) != 6 or not all(re.fullmatch("[0-9a-f]{1,2}", part) for part in parts):
        raise ValueError(f"\"{mac}\" is no MAC address")
    return ":".join(part.lstrip("0") or "0" for part in parts)


def lease_of(text, mac):
    """The newest by the end of its time; None where there is none."""
    wanted, best = plain(mac), None
    for block in re.findall(r"\{([^{}]*)\}", text):
        entry = dict(line.strip().split("=", 1) for line in block.splitlines() if "=" in line)
        hardware = entry.get("hw_address", "").split(",")[-1]
        address = entry.get("ip_address", "")
        try:
            same = plain(hardware) == wanted
            until = int(entry.get("lease", "0"), 16)
        except ValueError:
            continue
        if same and re.fullmatch(r"\d{1,3}(\.\d{1,3}){3}", address) and \
                (best is None or until >= best[0]):
            best = (until, address)
    return best[1] if best else None


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    path = sys.argv[2] if len(sys.argv) == 3 else "/var/db/dhcpd_leases"
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = lease_of(file.read(FILE_MAX), sys.argv[1])
    except (OSError, ValueError) as why:
        sys.exit(f"lease.py: {why}")
    if not found:
        sys.exit(f"lease.py: {sys.argv[1]} has no lease yet")
    print(found)


if __name__ == "__main__":
    main()
