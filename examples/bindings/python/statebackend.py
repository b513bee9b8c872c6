# SPDX-License-Identifier: Apache-2.0
"""libstatebackend for Python, by ctypes alone: the table of sb_api() and the
structs that a small job needs. Everything that fails raises Failure.

TABLE and KEYED_OPS name the members of sb_api_table (statebackend/api.h) and
sb_keyed_ops (statebackend/backend.h) in their order. Both only grow at their
end: a shorter library lacks the last ones, which `Library` notices when one
is used.
"""
import ctypes
from ctypes import (CFUNCTYPE, POINTER, Structure, byref, c_char, c_char_p,
                    c_int32, c_size_t, c_uint32, c_uint64, c_void_p)

API_VERSION = 1
OK, NOT_FOUND, END = 0, -10, -20
UPDATE_IN_PLACE = 10
NO_DEADLINE = 2 ** 64 - 1

TABLE = """
status_name status_retryable error_set version
config_new config_free config_load config_set config_get config_check
config_each host_options
host_default host_set_log host_register host_metrics backend_open
backend_close backend_keyed plugin_find plugin_each
hash_bytes murmur key_group key_group_range key_group_owner
context_new context_free context_set_key context_set_key_hash context_key
context_set_namespace value_open value_get value_put value_update value_clear
list_open list_add list_update list_each list_clear
map_open map_get map_put map_update map_remove map_each map_clear
timers_open timers_add timers_remove timers_peek timers_poll
coordinator_open coordinator_generation coordinator_trigger
coordinator_set_blob coordinator_snapshot coordinator_notify
coordinator_abort coordinator_wait coordinator_status coordinator_newest
coordinator_gc coordinator_close
host_metrics_text
context_namespace context_set_row context_set_time context_state_at
context_drop_state value_open_spec list_open_spec list_add_all list_get
list_iterate list_merge map_open_spec map_put_all map_contains map_is_empty
map_iterate reducing_open_spec reducing_add reducing_get
reducing_update_internal reducing_clear reducing_merge aggregating_open_spec
aggregating_add aggregating_get aggregating_get_internal
aggregating_update_internal aggregating_clear aggregating_merge
context_keys context_keys_and_namespaces context_remove_namespace
iterator_next iterator_remove iterator_set iterator_close
""".split()

KEYED_OPS = """
register_state get put remove append update clear remove_range
scan_open scan_next scan_update scan_remove scan_close submit poll
view_open view_get view_close
snapshot_begin snapshot_run snapshot_cancel snapshot_free
notify interrupt stats close
""".split()


class Error(Structure):
    _fields_ = [("status", c_int32), ("system", c_int32),
                ("message", c_char * 504)]


class Slice(Structure):
    _fields_ = [("data", c_char_p), ("len", c_size_t)]


class BorrowedSlice(Structure):
    """One that the library hands out: it may hold zero bytes."""
    _fields_ = [("data", c_void_p), ("len", c_size_t)]

    def bytes(self):
        return ctypes.string_at(self.data, self.len) if self.len else b""


class Update(Structure):
    _fields_ = [("struct_size", c_uint32), ("exists", c_uint32),
                ("data", c_void_p), ("len", c_size_t),
                ("action", c_uint32), ("reserved", c_uint32),
                ("replacement", Slice), ("expires_ms", c_uint64)]


class StateSpec(Structure):
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32),
                ("name", c_char_p), ("key_type", c_char_p),
                ("namespace_type", c_char_p), ("subkey_type", c_char_p),
                ("value_type", c_char_p), ("schema_version", c_uint32),
                ("cleanup_per_access", c_uint32), ("ttl_ms", c_uint64),
                ("ttl_update", c_uint32), ("ttl_visibility", c_uint32),
                ("ttl_time", c_uint32), ("reserved", c_uint32),
                ("migrate", c_void_p), ("migrate_arg", c_void_p),
                ("default_value", Slice), ("fold", c_void_p),
                ("merge", c_void_p), ("result", c_void_p),
                ("fold_arg", c_void_p)]


class Row(Structure):
    _fields_ = [("key_group", c_uint32), ("flags", c_uint32),
                ("key", BorrowedSlice), ("ns", BorrowedSlice),
                ("subkey", BorrowedSlice), ("value", BorrowedSlice),
                ("expires_ms", c_uint64)]


class KeyedOptions(Structure):
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32),
                ("job", c_char_p), ("operator_id", c_char_p),
                ("subtask", c_uint32), ("key_group_count", c_uint32),
                ("key_group_first", c_uint32), ("key_group_last", c_uint32),
                ("generation", c_uint64), ("parts", c_void_p),
                ("part_count", c_uint64), ("wake", c_void_p),
                ("wake_arg", c_void_p)]


class CoordinatorOptions(Structure):
    _fields_ = [("struct_size", c_uint32), ("subtasks", c_uint32),
                ("job", c_char_p), ("job_id", c_char_p),
                ("retain", c_uint32), ("tolerable_failures", c_uint32),
                ("timeout_ms", c_uint64), ("restore_id", c_uint64),
                ("finished", c_void_p), ("arg", c_void_p),
                ("restore_mode", c_uint32), ("reserved", c_uint32),
                ("restore_job", c_char_p), ("restore_savepoint", c_char_p)]


class CheckpointInfo(Structure):
    _fields_ = [("struct_size", c_uint32), ("part_count", c_uint32),
                ("id", c_uint64), ("generation", c_uint64),
                ("created_ms", c_uint64), ("size", c_uint64),
                ("name", c_char_p)]


class Checkpoint(Structure):
    _fields_ = [("struct_size", c_uint32), ("reserved", c_uint32),
                ("info", CheckpointInfo), ("parts", c_void_p),
                ("blob", BorrowedSlice), ("internal", c_void_p)]


# status (*)(arg, update, input, err)
FOLD = CFUNCTYPE(c_int32, c_void_p, POINTER(Update), BorrowedSlice,
                 POINTER(Error))

P, PP, U32, U64 = c_void_p, POINTER(c_void_p), c_uint32, c_uint64

# What the calls used here take before their last parameter, the sb_error.
CALLS = {
    "config_new": [PP],
    "config_set": [P, c_char_p, c_char_p, c_char_p],
    "backend_open": [P, P, PP],
    "backend_keyed": [P, POINTER(KeyedOptions), PP],
    "context_new": [P, P, U32, U32, U32, PP],
    "context_set_key": [P, Slice],
    "value_open": [P, c_char_p, PP],
    "value_get": [P, POINTER(BorrowedSlice)],
    "value_put": [P, Slice],
    "reducing_open_spec": [P, POINTER(StateSpec), PP],
    "reducing_add": [P, Slice],
    "reducing_get": [P, POINTER(BorrowedSlice)],
    "context_keys": [P, POINTER(c_char_p), c_size_t, Slice, PP],
    "iterator_next": [P, POINTER(Row)],
    "coordinator_open": [P, P, POINTER(CoordinatorOptions), PP,
                         POINTER(POINTER(Checkpoint))],
    "coordinator_trigger": [P, Slice, POINTER(U64)],
    "coordinator_snapshot": [P, U64, U32, P],
    "coordinator_wait": [P, U64, U64],
    "coordinator_notify": [P, U32, P],
}

# Calls that cannot fail: result and parameters.
PLAIN_CALLS = {
    "version": (c_char_p, []),
    "status_name": (c_char_p, [c_int32]),
    "host_default": (P, []),
    "config_free": (None, [P]),
    "backend_close": (None, [P]),
    "context_free": (None, [P]),
    "iterator_close": (None, [P]),
    "coordinator_generation": (U64, [P]),
    "coordinator_close": (None, [P]),
}


class Failure(Exception):
    def __init__(self, call, name, status, message):
        super().__init__(f"{call}: {name}: {message}")
        self.status = status


def slice_of(data):
    return Slice(data, len(data))


def sized(struct, **fields):
    """A struct that starts with its size."""
    return struct(struct_size=ctypes.sizeof(struct), **fields)


def member(table, names, name):
    """The address of a member of a table that starts with two 32-bit
    numbers, the first of which is its size."""
    pointer = ctypes.sizeof(c_void_p)
    offset = 8 + names.index(name) * pointer
    if U32.from_address(table).value < offset + pointer:
        raise Failure(name, "unsupported", 0, "the library is too old")
    return c_void_p.from_address(table + offset).value


class Library:
    """The table: library.value_put(...) is sb_value_put(...), without the
    sb_error. A call's status is returned if `allowed`, else raised."""

    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        self.library.sb_api.restype = c_void_p
        self.library.sb_api.argtypes = [U32]
        self.table = self.library.sb_api(API_VERSION)
        if not self.table:
            raise Failure("sb_api", "unsupported", 0, "another API version")

    def __getattr__(self, name):
        if name in PLAIN_CALLS:
            result, parameters = PLAIN_CALLS[name]
            call = CFUNCTYPE(result, *parameters)(
                member(self.table, TABLE, name))
        elif name in CALLS:
            call = self.checked(name)
        else:
            raise AttributeError(name)
        setattr(self, name, call)
        return call

    def checked(self, name):
        function = CFUNCTYPE(c_int32, *CALLS[name], POINTER(Error))(
            member(self.table, TABLE, name))

        def call(*arguments, allowed=()):
            err = Error()
            status = function(*arguments, byref(err))
            if status != OK and status not in allowed:
                raise Failure(name, self.status_name(status).decode(), status,
                              err.message.decode(errors="replace"))
            return status
        return call

    def keyed_close(self, keyed):
        """The one method of a keyed handle that a job calls itself."""
        ops = c_void_p.from_address(keyed.value).value
        CFUNCTYPE(None, P)(member(ops, KEYED_OPS, "close"))(keyed)
