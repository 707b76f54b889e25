//! What the fuzz target of the record codec does. Not a part of the library.

use bytes::Bytes;

use super::record::RecordView;
use crate::models::{Position, Timestamp, TopicName};

/// A record that is read is written and read again as the same, and never longer; one of the same
/// length has the same bytes. So is the event that it stands for.
pub(crate) fn record(data: &[u8]) {
    let Some((base, record)) = data.split_first_chunk() else {
        return;
    };
    let base = Timestamp::from_micros(i64::from_le_bytes(*base));
    let page = Bytes::copy_from_slice(record);
    let Ok(view) = RecordView::decode(&page, base) else {
        return;
    };
    let mut written = Vec::new();
    view.encode(base, &mut written);
    assert!(written.len() <= record.len() && written.len() <= view.size_bound());
    if written.len() == record.len() {
        assert_eq!(written, record);
    }
    let again = RecordView::decode(&written, base);
    assert!(again.is_ok_and(|again| format!("{again:?}") == format!("{view:?}")));
    assert!(view.each_tag().map(<[u8]>::len).sum::<usize>() <= view.tags.len());
    let event = |view: RecordView<'_>, page| {
        view.to_event(page, &TopicName::configuration(), Position::new(1))
    };
    let Ok(first) = event(view, &page) else {
        return;
    };
    let mut written = Vec::new();
    RecordView::of_recorded(&first).encode(base, &mut written);
    let page = Bytes::from(written);
    let second = RecordView::decode(&page, base).and_then(|view| event(view, &page));
    assert_eq!(second, Ok(first));
}
