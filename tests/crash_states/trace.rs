//! What a traced process did to its files: the lines of `strace`, read as a list of events.
//!
//! A call takes effect somewhere between its begin and its end. What changes something counts from
//! its begin; a sync covers what had ended before it began, and counts at its end; an answer counts
//! from the begin of the call that tells it. So no order is taken for given that is not.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The calls that are traced. Of those that change files in a way that is not understood here, none
/// may be met.
pub(crate) const CALLS: &str = "trace=openat,open,creat,lseek,write,pwrite64,writev,pwritev,pwritev2,\
    truncate,ftruncate,fallocate,rename,renameat,renameat2,link,linkat,symlink,symlinkat,\
    unlink,unlinkat,mkdir,mkdirat,rmdir,fsync,fdatasync,sync_file_range,sync,syncfs,\
    copy_file_range,sendfile,splice,mknod,mknodat";

/// One thing that happened to the files of a case, or to what was promised of them.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// The line at which the call had returned.
    pub(crate) ended: usize,
    pub(crate) action: Action,
}

#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// A file or directory was made, if it was not there.
    Make {
        path: String,
        directory: bool,
    },
    Write {
        path: String,
        at: usize,
        bytes: Arc<[u8]>,
    },
    Resize {
        path: String,
        length: usize,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        path: String,
    },
    /// Everything about this file or directory that had ended before the line is durable.
    Sync {
        path: String,
        began: usize,
    },
    /// The program began a step.
    Begin(usize),
    /// The program was answered, and whether the answer was a success.
    Answer(usize, bool),
}

/// A call with the lines at which it began and ended.
struct Call<'a> {
    began: usize,
    ended: usize,
    name: &'a str,
    arguments: Vec<&'a str>,
    result: &'a str,
}

/// Reads a trace; the events of each case are in the order in which they count. `root` has a
/// directory for each case, named by its number, and the file `marks`.
pub(crate) fn read(text: &str, root: &Path, cases: usize) -> Vec<Vec<Event>> {
    let lines = whole_lines(text);
    let mut found: Vec<Vec<(usize, Event)>> = vec![Vec::new(); cases];
    let mut offsets = HashMap::new();
    for (began, ended, line) in &lines {
        let Some(call) = parse(*began, *ended, line) else {
            continue;
        };
        if call.result.starts_with("-1 ") {
            continue;
        }
        if let Some((case, action)) = marked(&call, root) {
            let ended = call.ended;
            found[case].push((call.began, Event { ended, action }));
            continue;
        }
        for (case, order, event) in understand(&call, root, &mut offsets) {
            found[case].push((order, event));
        }
    }
    found
        .into_iter()
        .map(|mut events| {
            events.sort_by_key(|(order, _)| *order);
            events.into_iter().map(|(_, event)| event).collect()
        })
        .collect()
}

/// Joins the two halves of calls that others came between.
fn whole_lines(text: &str) -> Vec<(usize, usize, String)> {
    let mut begun: HashMap<&str, (usize, &str)> = HashMap::new();
    let mut whole = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let Some((process, call)) = line.split_once(' ') else {
            continue;
        };
        let call = call.trim_start();
        if let Some((half, _)) = call.split_once(" <unfinished ...>") {
            begun.insert(process, (number, half));
        } else if let Some((_, rest)) = call
            .strip_prefix("<... ")
            .and_then(|rest| rest.split_once(" resumed>"))
        {
            let (began, half) = begun.remove(process).expect("it was begun");
            whole.push((began, number, format!("{half}{rest}")));
        } else if !call.starts_with(['-', '+']) {
            whole.push((number, number, call.to_owned()));
        }
    }
    whole
}

fn parse(began: usize, ended: usize, line: &str) -> Option<Call<'_>> {
    let (left, result) = line.rsplit_once(" = ")?;
    let (name, arguments) = left.trim_end().strip_suffix(')')?.split_once('(')?;
    Some(Call {
        began,
        ended,
        name,
        arguments: arguments.split(", ").collect(),
        result,
    })
}

/// The bytes of a string, which is written in hexadecimal throughout (`-xx`).
fn bytes(text: &str) -> Vec<u8> {
    let inner = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or_else(|| panic!("strace has cut this short: {text}"));
    hexadecimal(inner)
}

fn hexadecimal(text: &str) -> Vec<u8> {
    text.split("\\x")
        .skip(1)
        .map(|digits| u8::from_str_radix(digits, 16).expect("two digits"))
        .collect()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("a path in UTF-8")
}

/// The path of an open file, as `3<path>`, unless it was removed.
fn opened(argument: &str) -> Option<PathBuf> {
    let (_, rest) = argument.split_once('<')?;
    let (path, after) = rest.rsplit_once('>')?;
    (!after.contains("deleted")).then(|| text(hexadecimal(path)).into())
}

/// A path argument that may be relative to a directory.
fn at(directory: &str, path: &str) -> Option<PathBuf> {
    Some(opened(directory)?.join(text(bytes(path))))
}

/// What a call means for the cases. `offsets` has where each file is written next, if that is not
/// said with the write; no file is written so by two handles at once.
fn understand(
    call: &Call<'_>,
    root: &Path,
    offsets: &mut HashMap<PathBuf, usize>,
) -> Vec<(usize, usize, Event)> {
    let argument = |index: usize| call.arguments[index];
    let number = |index: usize| -> usize { argument(index).parse().expect("a number") };
    let path = |index: usize| Some(PathBuf::from(text(bytes(argument(index)))));
    let mut found = Vec::new();
    let mut add = |place: Option<PathBuf>, make: &dyn Fn(String) -> Action| {
        let Some((case, path)) = place.and_then(|place| of_case(root, &place)) else {
            return;
        };
        let action = make(path);
        let order = match action {
            Action::Sync { .. } => call.ended,
            _ => call.began,
        };
        let ended = call.ended;
        found.push((case, order, Event { ended, action }));
    };
    match call.name {
        "openat" => {
            let place = at(argument(0), argument(1));
            offsets.extend(place.clone().map(|place| (place, 0)));
            if argument(2).contains("O_CREAT") {
                add(place.clone(), &|path| Action::Make {
                    path,
                    directory: false,
                });
            }
            if argument(2).contains("O_TRUNC") {
                add(place, &|path| Action::Resize { path, length: 0 });
            }
        }
        "mkdir" => add(path(0), &|path| Action::Make {
            path,
            directory: true,
        }),
        "pwrite64" | "write" => {
            let (file, at, bytes) = written(call, offsets);
            add(file, &|path| Action::Write {
                path,
                at,
                bytes: Arc::clone(&bytes),
            });
        }
        "ftruncate" => add(opened(argument(0)), &|path| Action::Resize {
            path,
            length: number(1),
        }),
        "fsync" | "fdatasync" => add(opened(argument(0)), &|path| Action::Sync {
            path,
            began: call.began,
        }),
        "rename" => {
            let target = path(1).and_then(|target| of_case(root, &target));
            add(path(0), &|from| Action::Rename {
                from,
                to: target.clone().expect("within the case").1,
            });
        }
        "unlink" | "rmdir" => add(path(0), &|path| Action::Remove { path }),
        "unlinkat" => add(at(argument(0), argument(1)), &|path| Action::Remove {
            path,
        }),
        "lseek" => {
            let to = call.result.parse().expect("a number");
            offsets.extend(opened(argument(0)).map(|file| (file, to)));
        }
        name => assert!(!concerns(call, root), "{name} is not understood"),
    }
    found
}

/// The file that is written, where, and what.
fn written(
    call: &Call<'_>,
    offsets: &mut HashMap<PathBuf, usize>,
) -> (Option<PathBuf>, usize, Arc<[u8]>) {
    let file = opened(call.arguments[0]);
    let length: usize = call.result.parse().expect("a number");
    let data = bytes(call.arguments[1])[..length].into();
    let at = call.arguments.get(3).map_or_else(
        || {
            let next = offsets.entry(file.clone().unwrap_or_default()).or_default();
            *next += length;
            *next - length
        },
        |at| at.parse().expect("a number"),
    );
    (file, at, data)
}

/// Whether a call has to do with an open file of a case.
fn concerns(call: &Call<'_>, root: &Path) -> bool {
    let mut files = call
        .arguments
        .iter()
        .filter_map(|argument| opened(argument));
    files.any(|file| of_case(root, &file).is_some())
}

/// The case that a path belongs to, and the path within it.
fn of_case(root: &Path, path: &Path) -> Option<(usize, String)> {
    let mut within = path.strip_prefix(root).ok()?.components();
    let case = within.next()?.as_os_str().to_str()?.parse().ok()?;
    Some((case, within.as_path().to_str()?.to_owned()))
}

/// What the program tells by a mark: `begin CASE STEP`, `done CASE STEP` or `refused CASE STEP`.
fn marked(call: &Call<'_>, root: &Path) -> Option<(usize, Action)> {
    if call.name != "write" || opened(call.arguments[0])? != root.join("marks") {
        return None;
    }
    let line = text(bytes(call.arguments[1]));
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |index: usize| words[index].parse().expect("a number");
    let action = match words[0] {
        "begin" => Action::Begin(number(2)),
        word => Action::Answer(number(2), word == "done"),
    };
    Some((number(1), action))
}
