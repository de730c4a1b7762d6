#!/usr/bin/env python3
"""Writes what makes an account of a macOS guest without anybody at its screen:

  account.py USER FULL-NAME PASSWORD-FILE FOLDER

  FOLDER/account.dsimport  a record for dsimport(1): an administrator to be, with this password
  FOLDER/kcpassword        the password as /etc/kcpassword has it, for automatic login

Both hold the password, so both have mode 0600, and it comes from a file rather than from the command line."""
import os
import re
import sys

UID, GID = 501, 20  # the first account of a Mac; "staff"
MASK = bytes((0x7D, 0x89, 0x52, 0x23, 0xD2, 0xBC, 0xDD, 0xEA, 0xA3, 0xB9, 0x1F))
BLOCK = 12


def obfuscated(password):
    """As loginwindow reads it: ended by a NUL, filled up to blocks of 12, over a mask of 11 bytes."""
    plain = password.encode() + b"\0"
    plain += b"\0" * (-len(plain) % BLOCK)
    return bytes(byte ^ MASK[i % len(MASK)] for i, byte in enumerate(plain))


def field(text):
    """A field of a record: backslash, colon, comma and newline have a meaning of their own."""
    return re.sub(r"([\\:,\n])", r"\\\1", text)


def record(user, full_name, password):
    """The format is told by the first line: ends of records and fields, escapes, and which fields."""
    attributes = ("RecordName", "AuthMethod", "Password", "UniqueID", "PrimaryGroupID",
                  "RealName", "NFSHomeDirectory", "UserShell")
    values = (user, "dsAuthMethodStandard:dsAuthClearText", password, str(UID), str(GID),
              full_name, f"/Users/{user}", "/bin/zsh")
    head = ["0x0A", "0x5C", "0x3A", "0x2C", "dsRecTypeStandard:Users", str(len(attributes))]
    head += [f"dsAttrTypeStandard:{name}" for name in attributes]
    return " ".join(head) + "\n" + ":".join(field(value) for value in values) + "\n"


def read_password(path):
    if os.stat(path).st_mode & 0o077:
        sys.exit(f"account.py: {path} can be read by others: chmod 600 it")
    with open(path, encoding="utf-8") as file:
        password = file.readline().rstrip("\n")
    if not 1 <= len(password) <= 128 or not password.isprintable():
        sys.exit(f"account.py: the first line of {path} is no password: 1 to 128 printable "
                 "characters")
    return password


def write(path, data):
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    user, full_name, password_file, folder = sys.argv[1:]
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", user):
        sys.exit(f"account.py: \"{user}\" is no name of an account")
    if not full_name.isprintable():
        sys.exit("account.py: the full name has characters that are not printable")
    password = read_password(password_file)
    write(os.path.join(folder, "account.dsimport"), record(user, full_name, password).encode())
    write(os.path.join(folder, "kcpassword"), obfuscated(password))


if __name__ == "__main__":
    main()
