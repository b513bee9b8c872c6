// SPDX-License-Identifier: Apache-2.0
//! libstatebackend for Rust, by hand: the table of sb_api(), loaded with
//! dlopen, and the structs that a small job needs.
//!
//! `Table` and `KeyedOps` have the members of sb_api_table
//! (statebackend/api.h) and sb_keyed_ops (statebackend/backend.h) in their
//! order, up to the last one used. Both only grow at their end, so a library
//! whose table is shorter is too old, and a longer one will do.

use std::ffi::{c_void, CStr, CString};
use std::mem::{size_of, transmute, zeroed};
use std::os::raw::{c_char, c_int};

pub type Status = i32;
pub type Unused = *const c_void;
pub const OK: Status = 0;
pub const NOT_FOUND: Status = -10;
pub const END: Status = -20;
pub const UPDATE_IN_PLACE: u32 = 10;
pub const NO_DEADLINE: u64 = u64::MAX;
const API_VERSION: u32 = 1;

/// Whatever only the library looks into.
#[repr(C)]
pub struct Opaque {
    _private: [u8; 0],
}

#[repr(C)]
pub struct Error {
    pub status: Status,
    pub system: i32,
    pub message: [c_char; 504],
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Slice {
    pub data: *const u8,
    pub len: usize,
}

impl Slice {
    pub fn of(bytes: &[u8]) -> Slice {
        Slice { data: bytes.as_ptr(), len: bytes.len() }
    }

    pub fn empty() -> Slice {
        Slice { data: std::ptr::null(), len: 0 }
    }

    /// A copy: what the library hands out lives until its next call.
    ///
    /// # Safety
    /// Only before that call.
    pub unsafe fn copy(&self) -> Vec<u8> {
        if self.len == 0 {
            return Vec::new();
        }
        std::slice::from_raw_parts(self.data, self.len).to_vec()
    }
}

#[repr(C)]
pub struct Update {
    pub struct_size: u32,
    pub exists: u32,
    pub data: *mut u8,
    pub len: usize,
    pub action: u32,
    pub reserved: u32,
    pub replacement: Slice,
    pub expires_ms: u64,
}

pub type Fold =
    unsafe extern "C" fn(*mut c_void, *mut Update, Slice, *mut Error)
        -> Status;

#[repr(C)]
pub struct StateSpec {
    pub struct_size: u32,
    pub flags: u32,
    pub name: *const c_char,
    pub key_type: *const c_char,
    pub namespace_type: *const c_char,
    pub subkey_type: *const c_char,
    pub value_type: *const c_char,
    pub schema_version: u32,
    pub cleanup_per_access: u32,
    pub ttl_ms: u64,
    pub ttl_update: u32,
    pub ttl_visibility: u32,
    pub ttl_time: u32,
    pub reserved: u32,
    pub migrate: Unused,
    pub migrate_arg: *mut c_void,
    pub default_value: Slice,
    pub fold: Option<Fold>,
    pub merge: Option<Fold>,
    pub result: Unused,
    pub fold_arg: *mut c_void,
}

#[repr(C)]
pub struct Row {
    pub key_group: u32,
    pub flags: u32,
    pub key: Slice,
    pub ns: Slice,
    pub subkey: Slice,
    pub value: Slice,
    pub expires_ms: u64,
}

#[repr(C)]
pub struct KeyedOptions {
    pub struct_size: u32,
    pub flags: u32,
    pub job: *const c_char,
    pub operator_id: *const c_char,
    pub subtask: u32,
    pub key_group_count: u32,
    pub key_group_first: u32,
    pub key_group_last: u32,
    pub generation: u64,
    pub parts: *const Opaque,
    pub part_count: u64,
    pub wake: Unused,
    pub wake_arg: *mut c_void,
}

#[repr(C)]
pub struct CoordinatorOptions {
    pub struct_size: u32,
    pub subtasks: u32,
    pub job: *const c_char,
    pub job_id: *const c_char,
    pub retain: u32,
    pub tolerable_failures: u32,
    pub timeout_ms: u64,
    pub restore_id: u64,
    pub finished: Unused,
    pub arg: *mut c_void,
    pub restore_mode: u32,
    pub reserved: u32,
    pub restore_job: *const c_char,
    pub restore_savepoint: *const c_char,
}

#[repr(C)]
pub struct Checkpoint {
    pub struct_size: u32,
    pub reserved: u32,
    pub info_size: u32,
    pub part_count: u32,
    pub id: u64,
    pub generation: u64,
    pub created_ms: u64,
    pub size: u64,
    pub name: *const c_char,
    pub parts: *const Opaque,
    pub blob: Slice,
    pub internal: *mut c_void,
}

#[repr(C)]
pub struct Keyed {
    pub ops: *const KeyedOps,
}

#[repr(C)]
pub struct KeyedOps {
    pub struct_size: u32,
    pub abi_version: u32,
    pub register_state: Unused,
    pub get: Unused,
    pub put: Unused,
    pub remove: Unused,
    pub append: Unused,
    pub update: Unused,
    pub clear: Unused,
    pub remove_range: Unused,
    pub scan_open: Unused,
    pub scan_next: Unused,
    pub scan_update: Unused,
    pub scan_remove: Unused,
    pub scan_close: Unused,
    pub submit: Unused,
    pub poll: Unused,
    pub view_open: Unused,
    pub view_get: Unused,
    pub view_close: Unused,
    pub snapshot_begin: Unused,
    pub snapshot_run: Unused,
    pub snapshot_cancel: Unused,
    pub snapshot_free: Unused,
    pub notify: Unused,
    pub interrupt: Unused,
    pub stats: Unused,
    pub close: unsafe extern "C" fn(*mut Keyed),
}

#[repr(C)]
pub struct Table {
    pub struct_size: u32,
    pub api_version: u32,
    pub status_name: unsafe extern "C" fn(Status) -> *const c_char,
    pub status_retryable: Unused,
    pub error_set: Unused,
    pub version: unsafe extern "C" fn() -> *const c_char,
    pub config_new: unsafe extern "C" fn(
        *mut *mut Opaque, *mut Error,
    ) -> Status,
    pub config_free: unsafe extern "C" fn(*mut Opaque),
    pub config_load: Unused,
    pub config_set: unsafe extern "C" fn(
        *mut Opaque, *const c_char, *const c_char, *const c_char, *mut Error,
    ) -> Status,
    pub config_get: Unused,
    pub config_check: Unused,
    pub config_each: Unused,
    pub host_options: Unused,
    pub host_default: unsafe extern "C" fn() -> *const Opaque,
    pub host_set_log: Unused,
    pub host_register: Unused,
    pub host_metrics: Unused,
    pub backend_open: unsafe extern "C" fn(
        *const Opaque, *const Opaque, *mut *mut Opaque, *mut Error,
    ) -> Status,
    pub backend_close: unsafe extern "C" fn(*mut Opaque),
    pub backend_keyed: unsafe extern "C" fn(
        *mut Opaque, *const KeyedOptions, *mut *mut Keyed, *mut Error,
    ) -> Status,
    pub plugin_find: Unused,
    pub plugin_each: Unused,
    pub hash_bytes: Unused,
    pub murmur: Unused,
    pub key_group: Unused,
    pub key_group_range: Unused,
    pub key_group_owner: Unused,
    pub context_new: unsafe extern "C" fn(
        *mut Keyed, *const Opaque, u32, u32, u32, *mut *mut Opaque, *mut Error,
    ) -> Status,
    pub context_free: unsafe extern "C" fn(*mut Opaque),
    pub context_set_key: unsafe extern "C" fn(
        *mut Opaque, Slice, *mut Error,
    ) -> Status,
    pub context_set_key_hash: Unused,
    pub context_key: Unused,
    pub context_set_namespace: Unused,
    pub value_open: unsafe extern "C" fn(
        *mut Opaque, *const c_char, *mut *mut Opaque, *mut Error,
    ) -> Status,
    pub value_get: unsafe extern "C" fn(
        *mut Opaque, *mut Slice, *mut Error,
    ) -> Status,
    pub value_put: unsafe extern "C" fn(
        *mut Opaque, Slice, *mut Error,
    ) -> Status,
    pub value_update: Unused,
    pub value_clear: Unused,
    pub list_open: Unused,
    pub list_add: Unused,
    pub list_update: Unused,
    pub list_each: Unused,
    pub list_clear: Unused,
    pub map_open: Unused,
    pub map_get: Unused,
    pub map_put: Unused,
    pub map_update: Unused,
    pub map_remove: Unused,
    pub map_each: Unused,
    pub map_clear: Unused,
    pub timers_open: Unused,
    pub timers_add: Unused,
    pub timers_remove: Unused,
    pub timers_peek: Unused,
    pub timers_poll: Unused,
    pub coordinator_open: unsafe extern "C" fn(
        *mut Opaque, *const Opaque, *const CoordinatorOptions,
        *mut *mut Opaque, *mut *const Checkpoint, *mut Error,
    ) -> Status,
    pub coordinator_generation: unsafe extern "C" fn(*const Opaque) -> u64,
    pub coordinator_trigger: unsafe extern "C" fn(
        *mut Opaque, Slice, *mut u64, *mut Error,
    ) -> Status,
    pub coordinator_set_blob: Unused,
    pub coordinator_snapshot: unsafe extern "C" fn(
        *mut Opaque, u64, u32, *mut Keyed, *mut Error,
    ) -> Status,
    pub coordinator_notify: unsafe extern "C" fn(
        *mut Opaque, u32, *mut Keyed, *mut Error,
    ) -> Status,
    pub coordinator_abort: Unused,
    pub coordinator_wait: unsafe extern "C" fn(
        *mut Opaque, u64, u64, *mut Error,
    ) -> Status,
    pub coordinator_status: Unused,
    pub coordinator_newest: Unused,
    pub coordinator_gc: Unused,
    pub coordinator_close: unsafe extern "C" fn(*mut Opaque),
    pub host_metrics_text: Unused,
    pub context_namespace: Unused,
    pub context_set_row: Unused,
    pub context_set_time: Unused,
    pub context_state_at: Unused,
    pub context_drop_state: Unused,
    pub value_open_spec: Unused,
    pub list_open_spec: Unused,
    pub list_add_all: Unused,
    pub list_get: Unused,
    pub list_iterate: Unused,
    pub list_merge: Unused,
    pub map_open_spec: Unused,
    pub map_put_all: Unused,
    pub map_contains: Unused,
    pub map_is_empty: Unused,
    pub map_iterate: Unused,
    pub reducing_open_spec: unsafe extern "C" fn(
        *mut Opaque, *const StateSpec, *mut *mut Opaque, *mut Error,
    ) -> Status,
    pub reducing_add: unsafe extern "C" fn(
        *mut Opaque, Slice, *mut Error,
    ) -> Status,
    pub reducing_get: unsafe extern "C" fn(
        *mut Opaque, *mut Slice, *mut Error,
    ) -> Status,
    pub reducing_update_internal: Unused,
    pub reducing_clear: Unused,
    pub reducing_merge: Unused,
    pub aggregating_open_spec: Unused,
    pub aggregating_add: Unused,
    pub aggregating_get: Unused,
    pub aggregating_get_internal: Unused,
    pub aggregating_update_internal: Unused,
    pub aggregating_clear: Unused,
    pub aggregating_merge: Unused,
    pub context_keys: unsafe extern "C" fn(
        *mut Opaque, *const *const c_char, usize, Slice, *mut *mut Opaque,
        *mut Error,
    ) -> Status,
    pub context_keys_and_namespaces: Unused,
    pub context_remove_namespace: Unused,
    pub iterator_next: unsafe extern "C" fn(
        *mut Opaque, *mut Row, *mut Error,
    ) -> Status,
    pub iterator_remove: Unused,
    pub iterator_set: Unused,
    pub iterator_close: unsafe extern "C" fn(*mut Opaque),
}

extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
}

const RTLD_NOW: c_int = 2;

/// A C string that lives as long as the program.
pub fn text(text: &str) -> *const c_char {
    CString::new(text).expect("no NUL in a text").into_raw()
}

unsafe fn loader_error() -> String {
    let message = dlerror();

    if message.is_null() {
        return "unknown error".to_string();
    }
    CStr::from_ptr(message).to_string_lossy().into_owned()
}

/// The library stays loaded: its threads run in it until the program ends.
pub fn load(path: &str) -> Result<&'static Table, String> {
    unsafe {
        let library = dlopen(text(path), RTLD_NOW);
        if library.is_null() {
            return Err(loader_error());
        }
        let symbol = dlsym(library, text("sb_api"));
        if symbol.is_null() {
            return Err(loader_error());
        }
        let sb_api: unsafe extern "C" fn(u32) -> *const Table =
            transmute(symbol);
        let table = sb_api(API_VERSION);
        if table.is_null() {
            return Err(format!("\"{}\" has another API version", path));
        }
        // The size first: behind it there may be nothing.
        let size = *(table as *const u32);
        if (size as usize) < size_of::<Table>() {
            return Err(format!("\"{}\" is too old", path));
        }
        Ok(&*table)
    }
}

impl Table {
    /// Makes a call that can fail and gives its status, which is OK or one of
    /// `allowed`; any other one becomes a message.
    pub fn call<F>(&self, allowed: &[Status], f: F) -> Result<Status, String>
    where
        F: FnOnce(*mut Error) -> Status,
    {
        let mut err: Error = unsafe { zeroed() };
        let status = f(&mut err);

        if status == OK || allowed.contains(&status) {
            return Ok(status);
        }
        unsafe {
            let name = CStr::from_ptr((self.status_name)(status));
            let message = CStr::from_ptr(err.message.as_ptr());
            Err(format!(
                "{}: {}",
                name.to_string_lossy(),
                message.to_string_lossy()
            ))
        }
    }
}
