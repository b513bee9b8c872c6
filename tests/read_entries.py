#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads the objects of the layout `entries`, as docs/FORMAT-entries.md has
them, from a directory or from S3, without the library.

  read_entries.py PLACE [--state NAME] [--key KEY] [--namespace NS] [...]

PLACE is the state prefix: a directory of the plugin `local`, or
s3://BUCKET/PREFIX with --endpoint for other servers than Amazon's (this needs
boto3; credentials as boto3 finds them). Prints one line for each entry: state,
key group, key, namespace, value, separated by tabs; --hex for hexadecimal.
With --check nothing is printed but what is wrong and a count. --rows FILE,
with --check, also compares with what `sbctl dump --format hex` has printed.
"""
import argparse
import base64
import hashlib
import os
import struct
import sys

CUT = 200
NAME_MAX = 1024


def snappy(data):
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


def to_base64(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def from_base64(text):
    return base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))


def digest(data):
    return '!' + hashlib.sha256(data).hexdigest()


def encode_part(name):
    """A state's name as a part of a path."""
    text = ''
    for i, byte in enumerate(name):
        char = chr(byte)
        plain = byte < 128 and (char.isalnum() or char in '._-')
        if plain and (i or char not in '._'):
            text += char
        else:
            text += '%%%02X' % byte
    return text if len(text) <= 255 else digest(name)


def cut(text):
    parts = []
    while len(text) > CUT:
        at = CUT - 1 if text[CUT] == '.' else CUT
        parts.append(text[:at])
        text = text[at:]
    return '/'.join(parts + [text])


def name_of(prefix, state, group, key, space, extension, before=''):
    """The whole name: what a reader makes to find one key. `before` counts
    into the limit: what stands before the prefix in the bucket."""
    for hashed in (False, True):
        texts = [to_base64(key) or '!', to_base64(space)]
        if hashed:
            texts = [digest(data) if len(text) > CUT else text
                     for text, data in zip(texts, (key, space))]
        name = '%s%s/%d/%s%s' % (prefix, encode_part(state), group,
                                 cut('.'.join(texts)), extension)
        if len(before + name) <= NAME_MAX:
            return name
    return None


def elements(kind, body):
    """A map's entries; the rest is for who knows the serializers."""
    if kind != 'map':
        return body
    pairs, at = [], 0
    while at < len(body):
        fields = []
        for _ in range(2):
            size, = struct.unpack_from('>i', body, at)
            fields.append(body[at + 4:at + 4 + size])
            at += 4 + size
        pairs.append(tuple(fields))
    return pairs


class Directory:
    """A directory of the plugin `local`."""

    def __init__(self, root):
        self.root = root

    def list(self):
        for folder, folders, files in os.walk(self.root):
            if folder == self.root and '_' in folders:
                folders.remove('_')  # the segments
            for file in files:
                path = os.path.join(folder, file)
                yield os.path.relpath(path, self.root)

    def get(self, name):
        path = os.path.join(self.root, name)
        with open(path, 'rb') as file:
            return file.read(), self.meta(path)

    @staticmethod
    def meta(path):
        """The plugin keeps metadata in one extended attribute."""
        for attribute in os.listxattr(path):
            if attribute.endswith('meta'):
                fields = os.getxattr(path, attribute).decode().split('\0')
                return dict(zip(fields[::2], fields[1::2]))
        return None


class Bucket:
    """A bucket on S3."""

    def __init__(self, place, endpoint, region):
        import boto3
        self.bucket, _, self.prefix = place[5:].partition('/')
        self.prefix = self.prefix.rstrip('/') + '/' if self.prefix else ''
        self.client = boto3.client('s3', endpoint_url=endpoint,
                                   region_name=region)

    def list(self):
        pages = self.client.get_paginator('list_objects_v2')
        for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix):
            for entry in page.get('Contents', ()):
                name = entry['Key'][len(self.prefix):]
                if not name.startswith('_/'):
                    yield name

    def get(self, name):
        answer = self.client.get_object(Bucket=self.bucket,
                                        Key=self.prefix + name)
        return answer['Body'].read(), answer['Metadata']


def parse(name, extension):
    """(directory, key group, key, namespace); a hash gives None."""
    parts = name.split('/')
    at = 1 if parts[1].isdigit() else 2
    if not parts[-1].endswith(extension):
        raise ValueError('another extension')
    text = ''.join(parts[at + 1:])
    text = text[:len(text) - len(extension)]
    fields = []
    for field in text.split('.'):
        if field == '!':
            fields.append(b'')
        elif field.startswith('!'):
            fields.append(None)
        else:
            fields.append(from_base64(field))
    key, space = fields
    return '/'.join(parts[:at]), int(parts[at]), key, space


def check(entry, options, before):
    """What of an entry contradicts the documentation."""
    name, (directory, group, key, space), body, meta = entry
    if meta is None:
        return None
    if int(meta['key-group']) != group:
        return 'another key group'
    if 'omitted' not in meta and int(meta['size']) != len(body):
        return 'another size'
    if meta['kind'] == 'map' and \
            len(elements('map', body)) != int(meta['elements']):
        return 'another number of entries'
    if key is None and 'key' in meta:
        key = from_base64(meta['key'])
    if space is None and 'namespace' in meta:
        space = from_base64(meta['namespace'])
    if key is None or space is None or '/' in directory or \
            '%' in directory or '!' in directory:
        return None
    again = name_of('', directory.encode(), group, key, space,
                    options.extension, before)
    return None if again == name else 'should be called ' + str(again)


def read(place, options):
    """All entries that the options select."""
    wanted = options.state and encode_part(os.fsencode(options.state))
    for name in sorted(place.list()):
        try:
            what = parse(name, options.extension)
        except (ValueError, IndexError):
            continue
        if wanted and what[0].rpartition('/')[2] != wanted:
            continue
        if options.key is not None and what[2] != os.fsencode(options.key):
            continue
        if options.namespace is not None and \
                what[3] != os.fsencode(options.namespace):
            continue
        body, meta = place.get(name)
        packed = options.compression == 'snappy' if meta is None \
            else meta['compression'] == 'snappy'
        yield name, what, snappy(body) if packed else body, meta


def rows_of(file):
    """The bodies that the rows of `sbctl dump --format hex` make."""
    bodies = {}
    for line in file:
        fields = dict(field.partition('=')[::2]
                      for field in line.split()[1:])
        if not line.startswith('row ') or 'time_ms' in fields:
            continue
        place = (fields['state'], int(fields['key_group']),
                 bytes.fromhex(fields['key_hex']),
                 bytes.fromhex(fields.get('ns_hex', '')))
        value = bytes.fromhex(fields['value_hex'])
        if 'subkey_hex' in fields:
            subkey = bytes.fromhex(fields['subkey_hex'])
            bodies[place] = bodies.get(place, b'') + \
                struct.pack('>i', len(subkey)) + subkey + \
                struct.pack('>i', len(value)) + value
        elif place in bodies:
            bodies[place] += b',' + value
        else:
            bodies[place] = value
    return bodies


def show(data, options):
    if data is None:
        return '?'
    return data.hex() if options.hex else data.decode('utf-8',
                                                      'backslashreplace')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('place')
    parser.add_argument('--endpoint')
    parser.add_argument('--region', default='us-east-1')
    parser.add_argument('--extension', default='.state')
    parser.add_argument('--compression', default='snappy',
                        help='where the metadata cannot be read')
    parser.add_argument('--before', default='',
                        help='what stands before PLACE in the whole name')
    parser.add_argument('--state')
    parser.add_argument('--key')
    parser.add_argument('--namespace')
    parser.add_argument('--hex', action='store_true')
    parser.add_argument('--check', action='store_true')
    parser.add_argument('--rows', type=argparse.FileType('r'))
    options = parser.parse_args()
    if options.place.startswith('s3://'):
        place = Bucket(options.place, options.endpoint, options.region)
        options.before = place.prefix
    else:
        place = Directory(options.place)
    count = wrong = 0
    rows = rows_of(options.rows) if options.rows else None
    for entry in read(place, options):
        count += 1
        name, (directory, group, key, space), body, _ = entry
        if options.check:
            trouble = check(entry, options, options.before)
            if rows is not None and \
                    rows.pop((directory, group, key, space), None) != body:
                trouble = 'other than what sbctl has'
            if trouble:
                wrong += 1
                print('%s: %s' % (name, trouble))
            continue
        print('\t'.join([directory, str(group), show(key, options),
                         show(space, options), show(body, options)]))
    for place in rows or ():
        wrong += 1
        print('%s %d %s %s: missing' % place)
    if options.check:
        print('%d entries, %d wrong' % (count, wrong))
    return 1 if wrong or not count else 0


if __name__ == '__main__':
    sys.exit(main())
