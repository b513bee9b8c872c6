// SPDX-License-Identifier: Apache-2.0
//! Counts words in state kept by libstatebackend, through statebackend.rs.
//!
//!     rustc --edition 2021 word_count.rs
//!     word_count LIBRARY DIRECTORY
//!
//! A job of one subtask on the `local` backend in DIRECTORY, which must be
//! empty: each word's count is a reducing state folded by a Rust function, the
//! place of its last occurrence a value state. The job runs in processes that
//! kill themselves between two checkpoints; each next one restores the newest
//! and goes on where that was made. The last one compares everything with a
//! plain count. LIBRARY is what dlopen takes: a path, or libstatebackend.so.0.

#[allow(dead_code)]
mod statebackend;

use statebackend as sb;
use std::collections::{HashMap, HashSet};
use std::ffi::c_void;
use std::mem::{size_of, zeroed};
use std::os::unix::process::ExitStatusExt;
use std::process::{exit, Command};
use std::ptr::{null, null_mut};

const WORDS: u64 = 6000;
const EVERY: u64 = 1000; // words between checkpoints
const KILLS: [u64; 3] = [2300, 2900, 4999]; // lives but the last end there
const KEY_GROUPS: u32 = 128;
const SIGKILL: i32 = 9;

extern "C" {
    fn raise(signal: i32) -> i32;
}

/// The word at a place of the input: 26 + 26 * 26 different ones.
fn word(place: u64) -> Vec<u8> {
    let mixed = ((place * 2654435761) as u32) >> 7;
    let first = b'a' + (mixed % 26) as u8;

    if place % 3 != 0 {
        return vec![first];
    }
    vec![first, b'a' + (mixed / 26 % 26) as u8]
}

/// Values are eight bytes, with whatever alignment.
unsafe extern "C" fn add_counts(
    _arg: *mut c_void,
    state: *mut sb::Update,
    more: sb::Slice,
    _err: *mut sb::Error,
) -> sb::Status {
    let count = (*state).data as *mut u64;
    let more = (more.data as *const u64).read_unaligned();

    count.write_unaligned(count.read_unaligned() + more);
    (*state).action = sb::UPDATE_IN_PLACE;
    sb::OK
}

fn number(bytes: &[u8]) -> Result<u64, String> {
    match bytes.try_into() {
        Ok(eight) => Ok(u64::from_ne_bytes(eight)),
        Err(_) => Err(format!("{} bytes are no number", bytes.len())),
    }
}

struct Job {
    api: &'static sb::Table,
    backend: *mut sb::Opaque,
    coordinator: *mut sb::Opaque,
    keyed: *mut sb::Keyed,
    context: *mut sb::Opaque,
    counts: *mut sb::Opaque,
    last: *mut sb::Opaque,
    restored: u64,
    place: u64,
}

type Get = unsafe extern "C" fn(
    *mut sb::Opaque,
    *mut sb::Slice,
    *mut sb::Error,
) -> sb::Status;

impl Job {
    unsafe fn open(library: &str, directory: &str) -> Result<Job, String> {
        let mut job = Job {
            api: sb::load(library)?,
            backend: null_mut(),
            coordinator: null_mut(),
            keyed: null_mut(),
            context: null_mut(),
            counts: null_mut(),
            last: null_mut(),
            restored: 0,
            place: 0,
        };
        job.open_backend(directory)?;
        job.open_job()?;
        job.open_states()?;
        Ok(job)
    }

    unsafe fn open_backend(&mut self, directory: &str) -> Result<(), String> {
        let api = self.api;
        let mut config = null_mut();

        api.call(&[], |err| (api.config_new)(&mut config, err))?;
        for (key, value) in [
            ("state.backend", "local"),
            ("state.backend.local.dir", directory),
        ] {
            let (key, value) = (sb::text(key), sb::text(value));
            api.call(&[], |err| {
                (api.config_set)(config, key, value, null(), err)
            })?;
        }
        api.call(&[], |err| {
            (api.backend_open)(config, null(), &mut self.backend, err)
        })?;
        (api.config_free)(config);
        Ok(())
    }

    /// Takes the job over and opens the subtask as the newest checkpoint left
    /// it.
    unsafe fn open_job(&mut self) -> Result<(), String> {
        let api = self.api;
        let mut newest: *const sb::Checkpoint = null();
        let mut options: sb::CoordinatorOptions = zeroed();
        let mut subtask: sb::KeyedOptions = zeroed();

        options.struct_size = size_of::<sb::CoordinatorOptions>() as u32;
        options.subtasks = 1;
        options.job = sb::text("");
        options.job_id = sb::text("word_count");
        options.retain = 1;
        api.call(&[], |err| {
            (api.coordinator_open)(
                self.backend,
                (api.host_default)(),
                &options,
                &mut self.coordinator,
                &mut newest,
                err,
            )
        })?;
        subtask.struct_size = size_of::<sb::KeyedOptions>() as u32;
        subtask.job = sb::text("");
        subtask.operator_id = sb::text("");
        subtask.key_group_count = KEY_GROUPS;
        subtask.key_group_last = KEY_GROUPS - 1;
        subtask.generation = (api.coordinator_generation)(self.coordinator);
        if let Some(checkpoint) = newest.as_ref() {
            self.restored = checkpoint.id;
            self.place = number(&checkpoint.blob.copy())?;
            subtask.parts = checkpoint.parts;
            subtask.part_count = u64::from(checkpoint.part_count);
        }
        api.call(&[], |err| {
            (api.backend_keyed)(self.backend, &subtask, &mut self.keyed, err)
        })?;
        Ok(())
    }

    unsafe fn open_states(&mut self) -> Result<(), String> {
        let api = self.api;
        let mut spec: sb::StateSpec = zeroed();
        let last = sb::text("last");

        api.call(&[], |err| {
            (api.context_new)(
                self.keyed,
                (api.host_default)(),
                KEY_GROUPS,
                0,
                KEY_GROUPS - 1,
                &mut self.context,
                err,
            )
        })?;
        spec.struct_size = size_of::<sb::StateSpec>() as u32;
        spec.name = sb::text("counts");
        spec.fold = Some(add_counts);
        api.call(&[], |err| {
            let counts = &mut self.counts;
            (api.reducing_open_spec)(self.context, &spec, counts, err)
        })?;
        api.call(&[], |err| {
            (api.value_open)(self.context, last, &mut self.last, err)
        })?;
        Ok(())
    }

    unsafe fn set_key(&self, key: &[u8]) -> Result<(), String> {
        let api = self.api;

        api.call(&[], |err| {
            (api.context_set_key)(self.context, sb::Slice::of(key), err)
        })?;
        Ok(())
    }

    unsafe fn count(&mut self) -> Result<(), String> {
        let api = self.api;
        let one = 1u64.to_ne_bytes();
        let place = self.place.to_ne_bytes();

        self.set_key(&word(self.place))?;
        api.call(&[], |err| {
            (api.reducing_add)(self.counts, sb::Slice::of(&one), err)
        })?;
        api.call(&[], |err| {
            (api.value_put)(self.last, sb::Slice::of(&place), err)
        })?;
        self.place += 1;
        Ok(())
    }

    /// With its place in the input as the caller's own bytes.
    unsafe fn checkpoint(&mut self) -> Result<(), String> {
        let api = self.api;
        let job = self.coordinator;
        let place = self.place.to_ne_bytes();
        let mut id = 0;

        api.call(&[], |err| {
            (api.coordinator_trigger)(
                job,
                sb::Slice::of(&place),
                &mut id,
                err,
            )
        })?;
        api.call(&[], |err| {
            (api.coordinator_snapshot)(job, id, 0, self.keyed, err)
        })?;
        api.call(&[], |err| {
            (api.coordinator_wait)(job, id, sb::NO_DEADLINE, err)
        })?;
        api.call(&[], |err| {
            (api.coordinator_notify)(job, 0, self.keyed, err)
        })?;
        Ok(())
    }

    unsafe fn run(&mut self, kill: u64) -> Result<(), String> {
        while self.place < WORDS {
            self.count()?;
            if self.place == kill {
                raise(SIGKILL);
            }
            if self.place % EVERY == 0 {
                self.checkpoint()?;
            }
        }
        Ok(())
    }

    unsafe fn number(
        &self,
        get: Get,
        state: *mut sb::Opaque,
    ) -> Result<Option<u64>, String> {
        let mut found = sb::Slice::empty();
        let status = self
            .api
            .call(&[sb::NOT_FOUND], |err| get(state, &mut found, err))?;

        if status == sb::NOT_FOUND {
            return Ok(None);
        }
        number(&found.copy()).map(Some)
    }

    unsafe fn keys(&self) -> Result<HashSet<Vec<u8>>, String> {
        let api = self.api;
        let states = [sb::text("counts"), sb::text("last")];
        let mut keys = HashSet::new();
        let mut rows = null_mut();
        let mut row: sb::Row = zeroed();

        api.call(&[], |err| {
            (api.context_keys)(
                self.context,
                states.as_ptr(),
                states.len(),
                sb::Slice::empty(),
                &mut rows,
                err,
            )
        })?;
        while api.call(&[sb::END], |err| {
            (api.iterator_next)(rows, &mut row, err)
        })? == sb::OK
        {
            keys.insert(row.key.copy());
        }
        (api.iterator_close)(rows);
        Ok(keys)
    }

    /// How many words are wrong, and how many there are.
    unsafe fn check(&self) -> Result<(usize, usize), String> {
        let mut want: HashMap<Vec<u8>, (u64, u64)> = HashMap::new();

        for place in 0..WORDS {
            let pair = want.entry(word(place)).or_insert((0, 0));
            *pair = (pair.0 + 1, place);
        }
        let known: HashSet<Vec<u8>> = want.keys().cloned().collect();
        let mut wrong = &known ^ &self.keys()?;
        for (key, (count, place)) in &want {
            self.set_key(key)?;
            if self.number(self.api.reducing_get, self.counts)? != Some(*count)
                || self.number(self.api.value_get, self.last)? != Some(*place)
            {
                wrong.insert(key.clone());
            }
        }
        Ok((wrong.len(), want.len()))
    }

    unsafe fn close(self) {
        (self.api.coordinator_close)(self.coordinator);
        (self.api.context_free)(self.context);
        ((*(*self.keyed).ops).close)(self.keyed);
        (self.api.backend_close)(self.backend);
    }
}

/// One process: up to its death or the end.
fn life(library: &str, directory: &str, kill: u64) -> Result<i32, String> {
    unsafe {
        let mut job = Job::open(library, directory)?;

        println!("restored={} place={}", job.restored, job.place);
        job.run(kill)?;
        let (wrong, words) = job.check()?;
        job.close();
        let exact = if wrong == 0 { "yes" } else { "no" };
        println!("exact={} words={} wrong={}", exact, words, wrong);
        Ok(if wrong == 0 { 0 } else { 1 })
    }
}

fn lives(library: &str, directory: &str) -> Result<i32, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;

    for kill in KILLS.iter().chain(&[0]) {
        let status = Command::new(&program)
            .args([library, directory, &kill.to_string()])
            .status()
            .map_err(|e| e.to_string())?;
        let as_wanted = if *kill == 0 {
            status.success()
        } else {
            status.signal() == Some(SIGKILL)
        };
        if !as_wanted {
            return Ok(1);
        }
    }
    Ok(0)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let kill = arguments.get(2).map(|text| text.parse());
    let outcome = match (arguments.as_slice(), kill) {
        ([library, directory], None) => lives(library, directory),
        ([library, directory, _], Some(Ok(kill))) => {
            life(library, directory, kill)
        }
        _ => {
            eprintln!("usage: word_count LIBRARY DIRECTORY");
            exit(2);
        }
    };
    match outcome {
        Ok(code) => exit(code),
        Err(message) => {
            eprintln!("word_count: {}", message);
            exit(1);
        }
    }
}
