#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads and writes canonical savepoints as docs/FORMAT-canonical.md has them,
without the library, the way Flink does: by the serializers in the header.

  read_canonical.py FILE GROUPS [--offsets FILE] [--rows FILE]
  read_canonical.py --write FILE GROUPS ROWS [--packed] [--quirks]

Prints a line for each record or list element: state, kind, key group, key,
namespace, subkey, value, time; bytes in hexadecimal, "-" for none. With --rows
it prints only what differs from that file's lines. --write makes a stream of
byte strings from such lines; --quirks uses all the freedom that other writers
have. GROUPS is the maximum parallelism.
"""
import argparse
import struct
import sys

KINDS = {'VALUE': 10, 'LIST': 20, 'MAP': 30, 'REDUCING': 40,
         'AGGREGATING': 50, None: 60}
NEVER = (1 << 63) - 1
FLINK = 'org.apache.flink.'
BASE = FLINK + 'api.common.typeutils.base.'
BYTES = BASE + 'array.BytePrimitiveArraySerializer' \
    '$BytePrimitiveArraySerializerSnapshot'
VOID = FLINK + 'runtime.state.VoidNamespaceSerializer' \
    '$VoidNamespaceSerializerSnapshot'
LONG = BASE + 'LongSerializer$LongSerializerSnapshot'
LIST = BASE + 'ListSerializerSnapshot'
MAP = BASE + 'MapSerializerSnapshot'
TTL = FLINK + 'runtime.state.ttl.TtlStateFactory$TtlSerializerSnapshot'
COMPOSITE = (LIST, MAP, TTL,
             FLINK + 'streaming.api.operators.TimerSerializerSnapshot')
FIXED = {VOID: 1, LONG: 8, BASE + 'DoubleSerializer$DoubleSerializerSnapshot':
         8, FLINK + 'streaming.api.windowing.windows.TimeWindow$Serializer'
         '$TimeWindowSerializerSnapshot': 16}
STRING = BASE + 'StringSerializer$StringSerializerSnapshot'


# ---- Snappy ----------------------------------------------------------------

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


CRC_TABLE = crc_table()


def mask(crc):
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def unpack(data):
    """Snappy's raw format."""
    size = shift = at = 0
    while True:
        byte = data[at]
        size |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            break
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 3 == 0:
            length = tag >> 2
            if length >= 60:
                width = length - 59
                length = int.from_bytes(data[at:at + width], 'little')
                at += width
            out += data[at:at + length + 1]
            at += length + 1
            continue
        if tag & 3 == 1:
            length = (tag >> 2 & 7) + 4
            offset = (tag & 224) << 3 | data[at]
            at += 1
        else:
            width = 2 if tag & 3 == 2 else 4
            length = (tag >> 2) + 1
            offset = int.from_bytes(data[at:at + width], 'little')
            at += width
        if not 0 < offset <= len(out):
            raise ValueError('bad offset')
        for _ in range(length):
            out.append(out[-offset])
    if len(out) != size:
        raise ValueError('wrong length')
    return bytes(out)


def unframe(data, at, wanted):
    """A framed stream up to the chunk after which wanted(bytes) is true."""
    if data[at:at + 10] != b'\xff\x06\x00\x00sNaPpY':
        raise ValueError('no stream identifier at %d' % at)
    at += 10
    out = bytearray()
    while not wanted(out):
        kind, length = data[at], int.from_bytes(data[at + 1:at + 4], 'little')
        body = data[at + 4:at + 4 + length]
        at += 4 + length
        if len(body) != length or kind not in (0, 1):
            raise ValueError('a wrong chunk')
        piece = unpack(body[4:]) if kind == 0 else body[4:]
        if len(piece) > 65536 or kind == 0 and \
                len(body) - 4 > 0.85 * len(piece):
            raise ValueError('not as snappy-java writes')
        if mask(crc32c(piece)) != int.from_bytes(body[:4], 'little'):
            raise ValueError('a wrong checksum')
        out += piece
    return bytes(out), at


# ---- reading ---------------------------------------------------------------

class Input:
    """Java's DataInput."""

    def __init__(self, data, at=0):
        self.data, self.at = data, at

    def take(self, length):
        if length < 0 or self.at + length > len(self.data):
            raise EOFError
        self.at += length
        return self.data[self.at - length:self.at]

    def number(self, form):
        return struct.unpack('>' + form,
                             self.take(struct.calcsize('>' + form)))[0]

    def utf(self):
        return self.take(self.number('H')).replace(b'\xc0\x80', b'\0') \
            .decode('utf-8', 'surrogatepass') \
            .encode('utf-16', 'surrogatepass').decode('utf-16')


class Serializer:
    """What a serializer's snapshot says."""

    def __init__(self, data, proxy=False):
        if proxy and data.number('i') != 2:
            raise ValueError('another snapshot format')
        self.name, self.inside = data.utf(), []
        version = data.number('i')
        if self.name in COMPOSITE:
            if (version, data.number('i')) != (3, 911108):
                raise ValueError('another composite format')
            data.number('i')
            if (data.number('i'), data.number('i')) != (1333245, 1):
                raise ValueError('another nested format')
            self.inside = [Serializer(data)
                           for _ in range(data.number('i'))]
        elif self.name not in FIXED and self.name not in (BYTES, STRING):
            raise ValueError('unknown serializer ' + self.name)
        elif version == 2:
            data.utf()
        elif version != 3:
            raise ValueError('another version')

    def varies(self):
        return self.name not in FIXED

    def read(self, data):
        """The bytes of one object."""
        start = data.at
        if self.name == BYTES:
            data.take(data.number('i'))
        elif self.name == STRING:
            data.take(data.number('B') - 1)
        elif self.name in FIXED:
            data.take(FIXED[self.name])
        elif self.name.endswith('TimerSerializerSnapshot'):
            data.take(8)
            for part in self.inside:
                part.read(data)
        else:
            for part in self.inside:
                part.read(data)
        return data.data[start:data.at]

    def show(self, raw):
        """Without what only the serializer of byte strings adds."""
        if self.name == VOID:
            if raw != b'\0':
                raise ValueError('not a void namespace')
            return b''
        return raw[4:] if self.name == BYTES else raw


class State:
    def __init__(self, data):
        self.name = data.utf()
        self.backend = data.number('i')
        self.options = {}
        for _ in range(data.number('i')):
            name = data.utf()
            self.options[name] = data.utf()
        serializers = {}
        for _ in range(data.number('i')):
            name = data.utf()
            serializers[name] = Serializer(data, proxy=True)
        self.type = self.options.get('KEYED_STATE_TYPE')
        if (self.backend, self.type is None) not in ((0, False), (3, True)):
            raise ValueError('wrong kind of state')
        self.space = serializers.get('NAMESPACE_SERIALIZER')
        self.value = serializers['VALUE_SERIALIZER']


def check_length(data, length):
    """The length behind a field: base 256, the low digit first."""
    while True:
        if data.number('B') != length & 255:
            raise ValueError('wrong length in a key')
        length >>= 8
        if not length:
            return


def shown_value(kind, data):
    """One value as (bytes, time)."""
    time = 0
    if kind.name == TTL and kind.inside[1].name == BYTES:
        time = data.number('q')
        kind = kind.inside[1]
    return kind.show(kind.read(data)), 0 if time == NEVER else time


def values(state, raw):
    """What an entry's value holds, as (bytes, time)."""
    data = Input(raw)
    if state.type == 'LIST':
        while True:
            yield shown_value(state.value.inside[0], data)
            if data.at == len(raw):
                return
            if data.take(1) != b',':
                raise ValueError('no comma')
    elif state.type == 'MAP':
        if data.number('B'):
            yield raw, 0
            return
        value = state.value.inside[1]
        shown = shown_value(value, data)
        yield shown if value.name in (BYTES, TTL) else (raw, 0)
    elif state.type is not None:
        yield shown_value(state.value, data)
    else:
        yield b'', 0
    if data.at != len(raw):
        raise ValueError('a value goes on')


class Stream:
    def __init__(self, data, groups):
        self.data, self.prefix = data, 1 if groups <= 128 else 2
        head = Input(data)
        if head.number('i') != 6:
            raise ValueError('another version')
        self.packed = head.number('B')
        self.key = Serializer(head, proxy=True)
        self.states = [State(head) for _ in range(head.number('h'))]
        self.start = head.at

    def entry(self, state, group, raw):
        data = Input(raw)
        if int.from_bytes(data.take(self.prefix), 'big') != group:
            raise ValueError('a key of another group')
        if state.type is None:
            return state.value.show(state.value.read(data)), b'', b'', data
        both = self.key.varies() and state.space.varies()
        key = self.key.read(data)
        if both:
            check_length(data, len(key))
        space = state.space.read(data)
        if both:
            check_length(data, len(space))
        sub = b''
        if state.type == 'MAP':
            sub = state.value.inside[0].read(data)
            sub = state.value.inside[0].show(sub)
        return self.key.show(key), state.space.show(space), sub, data

    def entries(self, data, group=None):
        """The rows of a key group, from its first state's number on."""
        number = data.number('H')
        while number != 0xFFFF:
            state = self.states[number]
            key = bytearray(data.take(data.number('i')))
            value = data.take(data.number('i'))
            last = key[0] & 128
            key[0] &= 127
            if group is None:
                group = int.from_bytes(key[:self.prefix], 'big')
            name, space, sub, rest = self.entry(state, group, bytes(key))
            if rest.at != len(key):
                raise ValueError('a key goes on')
            for shown, time in values(state, value):
                yield (state.name, KINDS[state.type], group, name, space, sub,
                       shown, time)
            if last:
                number = data.number('H')

    def group(self, at, group=None):
        """All rows of the key group at an offset, and where it ends."""
        if not self.packed:
            data = Input(self.data, at)
            return list(self.entries(data, group)), data.at
        rows = []

        def whole(out):
            nonlocal rows
            if not out:
                return False
            data = Input(bytes(out))
            try:
                rows = list(self.entries(data, group))
            except EOFError:
                return False
            if data.at != len(out):
                raise ValueError('a key group goes on')
            return True

        _, end = unframe(self.data, at, whole)
        return rows, end


def line(row):
    name, kind, group, *fields, time = row
    return '\t'.join([name, str(kind), str(group)] +
                     [field.hex() or '-' for field in fields] + [str(time)])


def rows_of(stream, offsets):
    at = stream.start
    if offsets is None:
        while at < len(stream.data):
            rows, at = stream.group(at)
            yield from rows
        return
    for group, offset in enumerate(offsets):
        if not offset:
            continue
        if offset != at:
            raise ValueError('key group %d begins at %d, not at %d' %
                             (group, offset, at))
        rows, at = stream.group(offset, group)
        yield from rows
    if at != len(stream.data):
        raise ValueError('something follows the last key group')


# ---- writing ---------------------------------------------------------------

def utf(text):
    data = text.encode()
    return struct.pack('>H', len(data)) + data


def simple(name, quirks):
    if quirks:
        return utf(name) + struct.pack('>i', 2) + utf('some.Serializer')
    return utf(name) + struct.pack('>i', 3)


def composite(name, inside, version=1):
    return utf(name) + struct.pack('>6i', 3, 911108, version, 1333245, 1,
                                   len(inside)) + b''.join(inside)


def meta(name, kind, timed, quirks):
    """A state of byte strings."""
    type_of = {number: text for text, number in KINDS.items()}[kind]
    value = simple(BYTES, quirks)
    if timed:
        value = composite(TTL, [simple(LONG, quirks), value], 2)
    if kind == 20:
        value = composite(LIST, [value])
    if kind == 30:
        value = composite(MAP, [simple(BYTES, quirks), value])
    out = utf(name) + struct.pack('>i', 0 if type_of else 3)
    if type_of:
        options = [utf('KEYED_STATE_TYPE') + utf(type_of)]
        if quirks:
            options.insert(0, utf('ANOTHER') + utf('option'))
        out += struct.pack('>i', len(options)) + b''.join(options)
    else:
        out += struct.pack('>i', 0)
    serializers = [utf('NAMESPACE_SERIALIZER') + struct.pack('>i', 2) +
                   simple(BYTES, quirks)] if type_of else []
    serializers.append(utf('VALUE_SERIALIZER') + struct.pack('>i', 2) + value)
    if quirks:
        serializers.reverse()
    return out + struct.pack('>i', len(serializers)) + b''.join(serializers)


def string(data):
    return struct.pack('>i', len(data)) + data


def digits(length):
    out = bytearray()
    while True:
        out.append(length & 255)
        length >>= 8
        if not length:
            return bytes(out)


def frame(data, quirks):
    """Every other chunk in Snappy's format, of literals only."""
    out = b'\xff\x06\x00\x00sNaPpY'
    size = 100 if quirks else 65536
    for number, at in enumerate(range(0, len(data), size)):
        piece = data[at:at + size]
        body, kind = piece, 1
        if quirks and number % 2:
            kind, body = 0, bytes([len(piece), 60 << 2, len(piece) - 1]) + \
                piece
        if quirks and number % 3 == 0:
            out += b'\xfe\x03\x00\x00pad'
        out += bytes([kind]) + (len(body) + 4).to_bytes(3, 'little')
        out += mask(crc32c(piece)).to_bytes(4, 'little') + body
    return out


def written_groups(rows, states, prefix, quirks):
    """Each key group's bytes."""
    for group in sorted({row[2] for row in rows}):
        out = b''
        order = list(reversed(states)) if quirks else states
        for state in order:
            entries = []
            for name, kind, where, key, space, sub, value, time in rows:
                if (name, where) != (state[0], group):
                    continue
                head = where.to_bytes(prefix, 'big') + string(key)
                if kind != 60:
                    head += digits(len(key) + 4) + string(space) + \
                        digits(len(space) + 4)
                if kind == 30:
                    head += string(sub)
                if state[2]:
                    stamp = struct.pack('>q', time or NEVER)
                    body = stamp + string(value)
                else:
                    body = b'' if kind == 60 else string(value)
                if kind == 30:
                    body = b'\0' + body
                if kind == 20 and entries and entries[-1][0] == head:
                    entries[-1][1] += b',' + body
                else:
                    entries.append([head, body])
            if not entries:
                continue
            last = bytearray(entries[-1][0])
            last[0] |= 128
            entries[-1][0] = bytes(last)
            out += struct.pack('>H', states.index(state))
            for head, body in entries:
                out += string(head) + string(body)
        yield out + b'\xff\xff'


def write(options):
    rows = []
    with open(options.write_rows) as file:
        for text in file:
            fields = text.rstrip('\n').split('\t')
            rows.append((fields[0], int(fields[1]), int(fields[2]),
                         *(b'' if field == '-' else bytes.fromhex(field)
                           for field in fields[3:7]), int(fields[7])))
    states = []
    for name, kind in dict.fromkeys((row[0], row[1]) for row in rows):
        timed = any(row[7] for row in rows if row[0] == name)
        states.append((name, kind, timed))
    out = struct.pack('>i?i', 6, options.packed, 2) + \
        simple(BYTES, options.quirks) + struct.pack('>h', len(states))
    for state in states:
        out += meta(*state, options.quirks)
    prefix = 1 if options.groups <= 128 else 2
    for data in written_groups(rows, states, prefix, options.quirks):
        out += frame(data, options.quirks) if options.packed else data
    with open(options.file, 'wb') as file:
        file.write(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('file')
    parser.add_argument('groups', type=int)
    parser.add_argument('write_rows', nargs='?')
    parser.add_argument('--offsets', type=argparse.FileType('r'))
    parser.add_argument('--rows', type=argparse.FileType('r'))
    parser.add_argument('--write', action='store_true')
    parser.add_argument('--packed', action='store_true')
    parser.add_argument('--quirks', action='store_true')
    options = parser.parse_args()
    if options.write:
        return write(options)
    with open(options.file, 'rb') as file:
        stream = Stream(file.read(), options.groups)
    offsets = options.offsets and [int(text) for text in options.offsets]
    lines = [line(row) for row in rows_of(stream, offsets)]
    if options.rows is None:
        print('\n'.join(lines))
        return 0
    wanted = options.rows.read().splitlines()
    wrong = 0
    for number in range(max(len(lines), len(wanted))):
        have = lines[number] if number < len(lines) else 'nothing'
        want = wanted[number] if number < len(wanted) else 'nothing'
        if have != want:
            wrong += 1
            print('row %d: %.200s, not %.200s' % (number, have, want))
    print('%d rows, %d wrong' % (len(lines), wrong))
    return 1 if wrong or not lines else 0


if __name__ == '__main__':
    sys.exit(main())
