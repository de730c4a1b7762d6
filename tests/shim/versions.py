#!/usr/bin/env python3
"""Each refusal of the helper's Objective-C stands behind the version that vmtest's catalogue has for it.

In a function, VTZ_HAS(N) is what leads past a refusal: the nearest one above it asks for no more than the
catalogue, and one refusal of each feature is right behind the catalogue's own version. A refusal without any
is of what the helper's least macOS has, on Macs that have it.

versions.py [SOURCE...]   SOURCE: in the place of the one of that name"""
import pathlib
import re
import sys

from helper import catalogue

SHIM = pathlib.Path(__file__).resolve().parent.parent.parent / "shim/vz"
LEAST = 12.0  # of the helper: -mmacosx-version-min of shim/vz/CMakeLists.txt


def refusals(text):
    """(feature, the VTZ_HAS() above it in its function or None), of a source."""
    for function in re.split(r"(?m)^}", text):
        asked = None
        for refusal in re.finditer(r"VTZ_HAS\(([\d.]+)\)|(?:vtz_refuse|[^_]refuse)\(([^;]*);", function):
            if refusal[1]:
                asked = float(refusal[1])
            else:
                yield from ((name.lower(), asked) for name in re.findall(r"VT_APPLE_(\w+)", refusal[2]))


def wrong(sources, features):
    """What does not fit, in sentences."""
    exact, seen = set(), {}
    for name, text in sources.items():
        for feature, asked in refusals(text):
            least = float(features[feature]["host"])
            seen.setdefault(feature, name)
            if asked is None and (least != LEAST or features[feature]["arch"] == "any"):
                yield f"{name}: {feature} is refused without a look at the version"
            elif asked is not None and asked > least:
                yield f"{name}: {feature} is refused below macOS {asked:g}; the catalogue has {least:g}"
            elif asked in (None, least):
                exact.add(feature)
    for feature in sorted(set(seen) - exact):
        yield f"{seen[feature]}: {feature} is not refused below the catalogue's {features[feature]['host']}"
    if len(seen) < 18:
        yield f"few refusals were seen: {sorted(seen)}"


def check(sources, features, words=None):
    said = list(wrong(sources, features))
    if words is None and said:
        sys.exit("\n".join(said))
    if words is not None and words not in "\n".join(said):
        sys.exit(f'"{words}" was not told, but: {said}')


def main():
    features = catalogue()
    paths = sorted(SHIM.glob("*.m")) + [pathlib.Path(word) for word in sys.argv[1:]]  # the later ones in place
    sources = {path.name: path.read_text(encoding="utf-8") for path in paths}
    check(sources, features)
    for feature in sorted({f for text in sources.values() for f, _ in refusals(text)}):
        own = features[feature]["host"]
        for other in (str(float(own) - 0.1), str(float(own) + 0.1)):  # whichever moves, it is seen
            check(sources, features | {feature: features[feature] | {"host": other}}, f"{feature} is ")
        print(feature, own)


if __name__ == "__main__":
    main()
