#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts words in state kept by libstatebackend, through statebackend.py.

  word_count.py LIBRARY DIRECTORY

A job of one subtask on the `local` backend in DIRECTORY, which must be empty:
each word's count is a reducing state folded by a Python function, the place
of its last occurrence a value state. The job runs in processes that kill
themselves between two checkpoints; each next one restores the newest and goes
on where that was made. The last one compares everything with a plain count.
LIBRARY is what dlopen takes: a path, or libstatebackend.so.0.
"""
import ctypes
import os
import signal
import struct
import subprocess
import sys

import statebackend as sb

WORDS = 6000
EVERY = 1000              # words between checkpoints
KILLS = (2300, 2900, 4999)  # each life but the last ends behind so many
KEY_GROUPS = 128


def word(place):
    """The word at a place of the input: 26 + 26 * 26 different ones."""
    mixed = place * 2654435761 % 2 ** 32 >> 7
    letters = bytes([97 + mixed % 26])
    return letters if place % 3 else letters + bytes([97 + mixed // 26 % 26])


@sb.FOLD
def add_counts(_arg, state, more, _err):
    count = ctypes.c_uint64.from_address(state[0].data)
    count.value += struct.unpack("=Q", more.bytes())[0]
    state[0].action = sb.UPDATE_IN_PLACE
    return sb.OK


class Job:
    def __init__(self, library, directory):
        self.api = sb.Library(library)
        self.host = self.api.host_default()
        self.place = self.restored = 0
        self.backend = self.open_backend(directory)
        self.coordinator = ctypes.c_void_p()
        self.keyed = ctypes.c_void_p()
        self.context = ctypes.c_void_p()
        self.counts, self.last = ctypes.c_void_p(), ctypes.c_void_p()
        self.open_job()
        self.open_states()

    def open_backend(self, directory):
        config, backend = ctypes.c_void_p(), ctypes.c_void_p()
        self.api.config_new(config)
        for key, value in ((b"state.backend", b"local"),
                           (b"state.backend.local.dir", directory.encode())):
            self.api.config_set(config, key, value, None)
        self.api.backend_open(config, None, backend)
        self.api.config_free(config)
        return backend

    def open_job(self):
        """Takes the job over and opens the subtask as the newest checkpoint
        left it."""
        newest = ctypes.POINTER(sb.Checkpoint)()
        options = sb.sized(sb.CoordinatorOptions, subtasks=1, job=b"",
                           job_id=b"word_count", retain=1)
        self.api.coordinator_open(self.backend, self.host, options,
                                  self.coordinator, newest)
        subtask = sb.sized(
            sb.KeyedOptions, job=b"", operator_id=b"",
            key_group_count=KEY_GROUPS, key_group_last=KEY_GROUPS - 1,
            generation=self.api.coordinator_generation(self.coordinator))
        if newest:
            checkpoint = newest.contents
            self.restored = checkpoint.info.id
            self.place, = struct.unpack("<Q", checkpoint.blob.bytes())
            subtask.parts = checkpoint.parts
            subtask.part_count = checkpoint.info.part_count
        self.api.backend_keyed(self.backend, subtask, self.keyed)

    def open_states(self):
        self.api.context_new(self.keyed, self.host, KEY_GROUPS, 0,
                             KEY_GROUPS - 1, self.context)
        spec = sb.sized(sb.StateSpec, name=b"counts",
                        fold=ctypes.cast(add_counts, ctypes.c_void_p))
        self.api.reducing_open_spec(self.context, spec, self.counts)
        self.api.value_open(self.context, b"last", self.last)

    def count(self):
        self.api.context_set_key(self.context, sb.slice_of(word(self.place)))
        self.api.reducing_add(self.counts, sb.slice_of(struct.pack("=Q", 1)))
        self.api.value_put(self.last,
                           sb.slice_of(struct.pack("=Q", self.place)))
        self.place += 1

    def checkpoint(self):
        """With its place in the input as the caller's own bytes."""
        number = ctypes.c_uint64()
        self.api.coordinator_trigger(
            self.coordinator, sb.slice_of(struct.pack("<Q", self.place)),
            number)
        self.api.coordinator_snapshot(self.coordinator, number, 0, self.keyed)
        self.api.coordinator_wait(self.coordinator, number, sb.NO_DEADLINE)
        self.api.coordinator_notify(self.coordinator, 0, self.keyed)

    def run(self, kill):
        while self.place < WORDS:
            self.count()
            if self.place == kill:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.place % EVERY == 0:
                self.checkpoint()

    def number(self, call, state):
        found = sb.BorrowedSlice()
        status = call(state, found, allowed=(sb.NOT_FOUND,))
        return status == sb.OK and struct.unpack("=Q", found.bytes())[0]

    def keys(self):
        states = (ctypes.c_char_p * 2)(b"counts", b"last")
        iterator, row = ctypes.c_void_p(), sb.Row()
        self.api.context_keys(self.context, states, 2, sb.Slice(), iterator)
        while self.api.iterator_next(iterator, row,
                                     allowed=(sb.END,)) == sb.OK:
            yield row.key.bytes()
        self.api.iterator_close(iterator)

    def check(self):
        """How many words are wrong, and how many there are."""
        want = {}
        for place in range(WORDS):
            count, _ = want.get(word(place), (0, 0))
            want[word(place)] = (count + 1, place)
        wrong = set(self.keys()) ^ set(want)
        for key, pair in want.items():
            self.api.context_set_key(self.context, sb.slice_of(key))
            if pair != (self.number(self.api.reducing_get, self.counts),
                        self.number(self.api.value_get, self.last)):
                wrong.add(key)
        return len(wrong), len(want)

    def close(self):
        self.api.coordinator_close(self.coordinator)
        self.api.context_free(self.context)
        self.api.keyed_close(self.keyed)
        self.api.backend_close(self.backend)


def life(library, directory, kill):
    """One process: up to its death or the end."""
    job = Job(library, directory)
    print(f"restored={job.restored} place={job.place}", flush=True)
    job.run(kill)
    wrong, words = job.check()
    job.close()
    print(f"exact={'no' if wrong else 'yes'} words={words} wrong={wrong}")
    return 1 if wrong else 0


def lives(library, directory):
    for kill in KILLS + (0,):
        code = subprocess.call([sys.executable, __file__, library, directory,
                                str(kill)])
        if code != (-signal.SIGKILL if kill else 0):
            return 1
    return 0


def main(arguments):
    if len(arguments) == 2:
        return lives(*arguments)
    if len(arguments) == 3:
        return life(*arguments[:2], int(arguments[2]))
    print("usage: word_count.py LIBRARY DIRECTORY", file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (sb.Failure, OSError) as failure:
        print(f"word_count.py: {failure}", file=sys.stderr)
        sys.exit(1)
