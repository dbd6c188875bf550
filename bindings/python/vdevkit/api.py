# SPDX-License-Identifier: BSD-3-Clause
"""The C interface as ctypes sees it, made at import from api.txt. No build step.

The libraries are looked for in $VDEVKIT_LIBDIR, then beside an uninstalled build, then where the
system's are. Structures are checked against the sizes and offsets that api.txt gives.
"""
import ctypes
import ctypes.util
import os
import re

_HERE = os.path.dirname(os.path.realpath(__file__))
_NUMBERS = {
    "char": ctypes.c_char, "int": ctypes.c_int, "unsigned int": ctypes.c_uint, "size_t": ctypes.c_size_t,
    "int64_t": ctypes.c_int64, "uint8_t": ctypes.c_uint8, "uint16_t": ctypes.c_uint16,
    "uint32_t": ctypes.c_uint32, "uint64_t": ctypes.c_uint64, "uintptr_t": ctypes.c_size_t,
    "ssize_t": ctypes.c_ssize_t, "int32_t": ctypes.c_int32, "void": None,
}
constants = {}
structs = {}
functions = {}


def _api_file():
    for path in (os.environ.get("VDEVKIT_API"), os.path.join(_HERE, "api.txt"),
                 os.path.join(_HERE, "../../api.txt")):
        if path and os.path.exists(path):
            return path
    raise ImportError("vdevkit: api.txt not found; name it in VDEVKIT_API")


def _library(name):
    path = os.environ.get("VDEVKIT_LIBDIR")
    if path:
        for directory in (path, os.path.join(path, ".libs")):
            if os.path.exists(os.path.join(directory, f"lib{name}.so")):
                return ctypes.CDLL(os.path.join(directory, f"lib{name}.so"), mode=ctypes.RTLD_GLOBAL)
    found = ctypes.util.find_library(name)
    if not found:
        raise ImportError(f"vdevkit: lib{name} not found; name its folder in VDEVKIT_LIBDIR")
    return ctypes.CDLL(found, mode=ctypes.RTLD_GLOBAL)


def _split(text):
    """At commas that are in no brackets."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    last = text[start:].strip()
    return parts + ([last] if last else [])


def c_type(text):
    """A C type as api.txt writes it."""
    text = re.sub(r"\b(const|volatile|struct)\b ?", "", text).strip()
    array = re.fullmatch(r"(.*)\[(\d+)\]", text)
    if array:
        return c_type(array.group(1)) * int(array.group(2))
    call = re.fullmatch(r"(.*?) ?\(\*\)\((.*)\)", text)
    if call:
        args = [c_type(a) for a in _split(call.group(2)) if a != "void"]
        return ctypes.CFUNCTYPE(c_type(call.group(1)), *args)
    if text.endswith("*"):
        inner = text[:-1].strip()
        if inner == "char":
            return ctypes.c_char_p
        # A pointer to void, to a function or to a pointer is a plain address.
        return ctypes.POINTER(structs[inner]) if inner in structs else ctypes.c_void_p
    if text.startswith("enum "):
        return ctypes.c_int
    return structs[text] if text in structs else _NUMBERS.get(text, ctypes.c_void_p)


def _read(path):
    sizes, fields, calls = {}, {}, []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            word, _, rest = line.rstrip("\n").partition(" ")
            if word == "const":
                name, value = rest.split()
                constants[name] = int(value)
            elif word in ("struct", "opaque"):
                name, _, size = rest.partition(" ")
                structs[name] = type(name, (ctypes.Structure,), {"__doc__": f"struct {name}"})
                sizes[name] = int(size or 0)
            elif word == "field":
                name, member, offset, kind = rest.split(" ", 3)
                fields.setdefault(name, []).append((member, int(offset), kind))
            elif word == "func":
                calls.append(re.fullmatch(r"(\w+) (.*?) \((.*)\)", rest).groups())
    return sizes, fields, calls


def _lay_out(name, sizes, fields, done):
    """Members before what holds them; two at one offset are a union, of which the first is kept."""
    if name in done:
        return
    done.add(name)
    members, last = [], -1
    for member, offset, kind in fields.get(name, []):
        inner = re.sub(r"\bstruct ", "", kind).split("[")[0]
        if inner in structs:
            _lay_out(inner, sizes, fields, done)
        if offset != last:
            members.append((member, c_type(kind)))
        last = offset
    if not members and sizes[name]:
        members = [("private", ctypes.c_uint64 * (sizes[name] // 8))]
    structs[name]._fields_ = members
    if sizes[name] and ctypes.sizeof(structs[name]) != sizes[name]:
        raise ImportError(f"vdevkit: struct {name} is not laid out as api.txt says")
    for member, offset, _ in fields.get(name, []):
        if hasattr(structs[name], member) and getattr(structs[name], member).offset != offset:
            raise ImportError(f"vdevkit: {name}.{member} is not where api.txt says")


def _load():
    sizes, fields, calls = _read(_api_file())
    done = set()
    for name in structs:
        _lay_out(name, sizes, fields, done)
    libraries = [_library("virtq"), _library("vdev")]
    for name, result, params in calls:
        function = next((getattr(lib, name) for lib in libraries if hasattr(lib, name)), None)
        if function is None:
            raise ImportError(f"vdevkit: the libraries lack {name}; they are older or newer than api.txt")
        function.restype = c_type(result)
        function.argtypes = [c_type(p.split(": ", 1)[1]) for p in _split(params)]
        functions[name] = function


_load()


class Error(OSError):
    """A call of the library that failed; errno is the C result negated."""


def check(result, what):
    """The result of a call, unless it is an error."""
    if result < 0:
        raise Error(-result, f"{what}: {os.strerror(-result)}")
    return result


def call(name, *args):
    """Call a function whose result is an error or a value."""
    return check(functions[name](*args), name)


def features(*bits):
    """struct virtq_features with these bits."""
    f = structs["virtq_features"]()
    for bit in bits:
        f.word[bit // 64] |= 1 << bit % 64
    return f
