"""Apple's Virtualization framework as the Rust crate objc2-virtualization has it, which is generated from Apple's
headers: its classes, methods and enumerators, in the words of Objective-C. Of versions it says nothing."""
import pathlib
import re

SUPER = re.compile(r"#\[unsafe\(super\((\w+)[^)]*\)\)\]\s*(?:#\[[^\]]*\]\s*)*pub struct (\w+)")
PROTOCOL = re.compile(r"pub unsafe trait (\w+)")
OWNER_OR_METHOD = re.compile(
    r"^impl (?P<owner>\w+)|pub unsafe trait (?P<trait>\w+)|"
    r"#\[unsafe\(method\((?P<selector>[^)]*)\)\)\]\s*(?:#\[[^\]]*\]\s*)*(?:pub )?unsafe fn \w+\s*"
    r"\((?P<arguments>.*?)\)\s*(?:->\s*(?P<result>[^;]*))?;", re.M | re.S)
VALUE = re.compile(r'doc\(alias = "(VZ\w+)"\)\]\s*(?:pub )?const \w+(?:: Self)? = (?:Self\()?(-?\d+)(?:<<(\d+))?\)?;')
BLOCK = re.compile(r"&block2::DynBlock<\s*dyn Fn\((.*?)\),?\s*>", re.S)
SCALARS = {"bool": "BOOL", "u32": "uint32_t", "u64": "uint64_t", "c_int": "int", "()": "void", "Self": "instancetype",
           "DispatchQueue": "dispatch_queue_t"}
NO_CLASSES = ("NSInteger", "NSUInteger", "NSTimeInterval", "NSOperatingSystemVersion")


def split(words):
    """At the commas that stand in no brackets."""
    parts, depth = [""], 0
    for character in words:
        depth += (character in "<(") - (character in ">)")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def inside(kind, name):
    """What stands in name<…>; None where it is no such type."""
    return kind[len(name) + 1:-1].strip() if kind.startswith(name + "<") and kind.endswith(">") else None


class Bindings:
    """Of the crate in this folder: the tables that audit-vz-contract makes of headers."""

    def __init__(self, folder):
        texts = [path.read_text(encoding="utf-8") for path in (pathlib.Path(folder) / "src/generated").glob("VZ*.rs")]
        self.versions, self.functions, self.methods = {}, {}, {}
        self.supers = {name: None for text in texts for name in PROTOCOL.findall(text)}
        self.supers |= {name: above for text in texts for above, name in SUPER.findall(text)}
        self.values = {name: int(value) << int(shift or 0) for text in texts for name, value, shift in VALUE.findall(text)}
        for text in texts:
            self.read(text)

    def read(self, text):
        owner = None
        for found in OWNER_OR_METHOD.finditer(text):
            if found["selector"] is None:
                owner = found["owner"] or found["trait"]
                continue
            arguments, result = split(found["arguments"]), (found["result"] or "()").strip()
            of_instance = bool(arguments) and re.match(r"&self|this:", arguments[0]) is not None
            types = [self.in_c(argument.split(":", 1)[1]) for argument in arguments[of_instance:]]
            selector = found["selector"]
            if (failing := inside(result, "Result")) is not None:  # the error is no argument there
                result = split(failing)[0].replace("()", "bool")
                selector = selector.removesuffix("_")
                types.append("NSError**")
            self.methods[("method", owner, "-" if of_instance else "+", selector)] = [self.in_c(result), *types]

    def in_c(self, kind):
        """A type; whether it may be nil is not told."""
        kind = kind.strip()
        for wrapper in ("Option", "Retained"):
            if (rest := inside(kind, wrapper)) is not None:
                return self.in_c(rest)
        if block := BLOCK.fullmatch(kind):
            return f"void(^)({','.join(map(self.in_c, split(block[1])))})"
        kind = kind.removeprefix("&").removeprefix("*mut ").strip()
        if (protocol := inside(kind, "ProtocolObject")) is not None:
            return f"id<{protocol.removeprefix('dyn ')}>"
        for collection in ("NSArray", "NSDictionary"):
            if (members := inside(kind, collection)) is not None:
                return f"{collection}<{','.join(map(self.in_c, split(members)))}>*"
        is_class = kind in self.supers or (re.match(r"NS[A-Z]", kind) and kind not in NO_CLASSES)
        return kind + "*" if is_class else SCALARS.get(kind, kind)
