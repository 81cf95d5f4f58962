//! Counts allocations, on one thread. A program of its own, since counting slows what it counts.
//!
//! It prints what it has counted; with `--check FILE` it fails when something is more than in that file, which is of the same form.

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::{env, fs};

use braid_benches::counts::{self, Counts};
use braid_benches::pubsub::parity;
use braid_benches::{Result, rpc};

/// The system's allocator, counted.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// `alloc_zeroed` and `realloc` would come by here by themselves, but not as cheaply as the system's.
#[allow(unsafe_code)]
// SAFETY: every call goes to the system's allocator as it came, which keeps the contract.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn count(bytes: usize) {
    ALLOCATIONS.fetch_add(1, Relaxed);
    BYTES.fetch_add(bytes as u64, Relaxed);
}

fn meter() -> (u64, u64) {
    (ALLOCATIONS.load(Relaxed), BYTES.load(Relaxed))
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args: Vec<_> = env::args().skip(1).collect();
    let before = match &args[..] {
        // What this program starts itself as.
        [serve] if serve == rpc::SERVE => return rpc::serve(),
        // What the benchmark starts it as.
        [which, url, time] if which == parity::PARITY => {
            return parity::tell(meter, url, time);
        }
        [] => None,
        [check, path] if check == "--check" => Some(Counts::parse(&fs::read_to_string(path)?)?),
        _ => return Err("counts takes nothing but --check FILE".into()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let text = runtime.block_on(counts::take(meter))?;
    print!("{text}");
    let worse = match before {
        Some(before) => Counts::parse(&text)?.worse_than(&before)?,
        None => Vec::new(),
    };
    if worse.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "more is allocated than before\n    {}",
            worse.join("\n    ")
        )
        .into())
    }
}
