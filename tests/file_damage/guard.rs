//! What must not happen whatever the damage: a panic on any thread, a case that does not end, and
//! memory by the gigabyte because a file says so.

use std::{
    panic,
    sync::{
        Mutex, Once,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// No case takes longer, on a machine that has other things to do.
const LONGEST: Duration = Duration::from_secs(60);
/// No more memory than this beyond what the test itself has: some threads that each meet a record
/// that claims to be as long as one may be (16 MiB), and keep the page that they read before.
const MOST_MEMORY: usize = 160 << 20;

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Remembers the panics of all threads: the library turns one on a thread of its own into an error.
pub(crate) fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.lock().unwrap().push(info.to_string());
            before(info);
        }));
    });
}

/// The panics since this was asked last.
pub(crate) fn panics() -> Vec<String> {
    std::mem::take(&mut PANICS.lock().unwrap())
}

/// Says that much memory was taken since `base`, if it was too much.
pub(crate) fn excess(base: usize) -> Option<String> {
    let peak = crate::ALLOCATOR.peak_usage();
    (peak > base + MOST_MEMORY).then(|| {
        crate::ALLOCATOR.reset_peak_usage();
        format!("{} MiB of memory were taken", (peak - base) >> 20)
    })
}

/// What each thread is doing, and since when.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    doing: Mutex<Vec<Option<(Instant, String)>>>,
    over: AtomicBool,
}

impl Watchdog {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            doing: Mutex::new(vec![None; threads]),
            over: AtomicBool::new(false),
        }
    }

    /// A thread begins a case.
    pub(crate) fn begins(&self, thread: usize, case: String) {
        self.doing.lock().unwrap()[thread] = Some((Instant::now(), case));
    }

    /// Nothing is done any more, also where the one who did it has panicked.
    pub(crate) fn ends(&self) -> impl Drop {
        struct Ends<'a>(&'a AtomicBool);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        Ends(&self.over)
    }

    /// Ends the whole process once a case takes too long: there is no other way out of one that
    /// does not end.
    pub(crate) fn watch(&self) {
        while !self.over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(100));
            for (since, case) in self.doing.lock().unwrap().iter().flatten() {
                if since.elapsed() > LONGEST {
                    eprintln!("this case does not end: {case}");
                    std::process::exit(101);
                }
            }
        }
    }
}
