//! A mark that tells how far the log was when its writer rested.
//!
//! Where the last slots of a log are lost, nothing else tells that they were there. The mark is put when
//! a topic is closed, and when nothing was appended for a minute. It is never ahead of the log, and may
//! be far behind.

use crc32c::crc32c;

use super::{core::Core, failure::Failure};

const FORMAT: &str = "annals-mark 1";

/// Puts the mark, if the log has gone on since it was put last.
pub(super) async fn put_mark(core: &Core, marked: &mut u64) -> Result<(), Failure> {
    let next = core.with(|view| view.next)?;
    if next <= *marked {
        return Ok(());
    }
    let checksum = crc32c(next.to_string().as_bytes());
    let mark = format!("{FORMAT} {next} {checksum:08x}\n");
    core.shared
        .objects
        .put(&core.keys.mark(), mark.into())
        .await?;
    *marked = next;
    Ok(())
}

/// The slot after those that were there when the mark was put; 0 where there is none.
pub(super) async fn get_mark(core: &Core) -> Result<u64, Failure> {
    let mark = core.shared.objects.get(&core.keys.mark()).await?;
    // One that is damaged tells nothing.
    Ok(mark.and_then(|mark| decode(&mark)).unwrap_or_default())
}

fn decode(mark: &[u8]) -> Option<u64> {
    let rest = std::str::from_utf8(mark).ok()?.strip_prefix(FORMAT)?;
    let (next, checksum) = rest.strip_suffix('\n')?.trim_start().split_once(' ')?;
    let expected = u32::from_str_radix(checksum, 16).ok()?;
    (crc32c(next.as_bytes()) == expected).then(|| next.parse().ok())?
}
