#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes _metadata files as Flink does, for the tests of sbctl --metadata.

    flink_metadata.py DESCRIPTION.json OUT

The layout is that of Flink's MetadataV2V3SerializerBase and the serializers
that extend it. DESCRIPTION has "version", "checkpoint" and "operators"; an
operator has "id" (32 hex digits), "max_parallelism" and "subtasks"; a subtask
has "index", and "keyed": a handle. Handles and streams are those of the
functions below.
"""
import json
import struct
import sys

MAGIC = 0x4960672D
MASTER_MAGIC = 0xC96B1696


def u8(value):
    return struct.pack(">B", value)


def i32(value):
    return struct.pack(">i", value)


def u32(value):
    return struct.pack(">I", value)


def i64(value):
    return struct.pack(">q", value)


def text(value):
    data = value.encode()
    return struct.pack(">H", len(data)) + data


def stream(s):
    """None, {"bytes": file, "name"}, {"file": uri, "size"}, {"relative": path,
    "size"}, {"segment": uri, "start", "size"}, {"groups": [first, count]}."""
    if s is None:
        return u8(0)
    if "bytes" in s:
        with open(s["bytes"], "rb") as file:
            data = file.read()
        return u8(1) + text(s.get("name", "stream")) + i32(len(data)) + data
    if "relative" in s:
        return u8(6) + text(s["relative"]) + i64(s.get("size", 0))
    if "segment" in s:
        return (u8(15) + i64(s["start"]) + i64(s["size"]) + i32(1) +
                text(s["segment"]) + text("logical"))
    if "groups" in s:
        first, count = s["groups"]
        return (u8(3) + i32(first) + i32(count) + i64(0) * count +
                stream(s.get("of")))
    if "empty" in s:
        return u8(16)
    return u8(2) + i64(s.get("size", 0)) + text(s["file"])


def files(handles):
    return i32(len(handles)) + b"".join(
        text("local-%d" % i) + stream(h) for i, h in enumerate(handles))


def keyed(h):
    if h is None:
        return u8(0)
    kind = h.get("kind", "incremental")
    groups = i32(h["first"]) + i32(h["count"])
    if kind == "incremental":
        old = h.get("old", False)
        out = u8(5 if old else 11) + i64(h.get("checkpoint", 7))
        out += text("6a3b0b0e-54ac-4d3b-8a44-0e9e4e7a0c11") + groups
        out += b"" if old else i64(1234)
        out += stream(h["meta"]) + files(h.get("shared", []))
        out += files(h.get("private", []))
        return out + (b"" if old else text("handle-id"))
    if kind == "groups":
        return (u8(12) + groups + i64(0) * h["count"] + stream(h["of"]) +
                text("handle-id"))
    if kind == "changelog":
        log = u8(13) + groups + i32(1) + i64(0) + stream({"file": "x:/y"})
        log += i64(1) + i64(1) + text("handle-id") + text("filesystem")
        changes = u8(9) + groups + i64(0) + i64(1) + i32(1) + i32(-1) + i32(3)
        changes += b"abc" + text("handle-id")
        return (u8(14) + groups + i64(5) + i32(1) + keyed(h["of"]) + i32(2) +
                log + changes + i64(3) + i64(4) + text("handle-id"))
    raise ValueError(kind)


def operator_state():
    out = i32(1) + u8(4) + i32(1) + text("offsets") + u8(0) + i32(2)
    return out + i64(0) + i64(8) + stream({"file": "file:/tmp/operator"})


def channels(version):
    one = i32(0) + i32(0) + i32(1) + i32(1) + i64(0) + i64(9)
    one += stream({"file": "file:/tmp/channel"})
    if version < 6:
        return i32(1) + one
    merged = u8(3) + i32(0) + i64(9) + stream({"file": "file:/tmp/channel"})
    return i32(2) + u8(1) + one + merged + i32(4) + b"1234"


def subtask(version, s):
    if s.get("finished"):
        return i32(-(s["index"] + 1))
    out = i32(s["index"])
    out += operator_state() if s.get("operator_state") else i32(0)
    out += i32(0)
    out += keyed(s.get("keyed")) + keyed(s.get("raw"))
    full = s.get("channels")
    out += channels(version) if full else i32(0)
    return out + i32(0)


def operator(version, o):
    out = b""
    if version >= 5:
        out += text(o.get("name", "")) + text(o.get("uid", ""))
    ids = bytes.fromhex(o["id"])
    out += ids + i32(len(o["subtasks"])) + i32(o["max_parallelism"])
    out += stream(o.get("coordinator"))
    if o.get("finished"):
        return out + i32(-1)
    return out + i32(len(o["subtasks"])) + b"".join(
        subtask(version, s) for s in o["subtasks"])


def metadata(d):
    version = d.get("version", 4)
    out = u32(MAGIC) + i32(version) + i64(d.get("checkpoint", 7))
    master = i32(1) + text("hook") + i32(2) + b"ab"
    out += i32(1) + u32(MASTER_MAGIC) + i32(len(master)) + master
    out += i32(len(d["operators"]))
    out += b"".join(operator(version, o) for o in d["operators"])
    if version >= 4:
        out += bytes.fromhex("aced0005") + b"java objects"
    return out


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        description = json.load(file)
    with open(sys.argv[2], "wb") as out:
        out.write(metadata(description))


if __name__ == "__main__":
    main()
