//! The rules, and what was found to break them.

use std::{collections::HashMap, fmt};

use super::record::Entry;

macro_rules! rules {
    ($($(#[doc = $text:literal])+ $name:ident: $of:literal,)+) => {
        /// What a history must not show.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) enum Rule {
            $($(#[doc = $text])+ $name,)+
        }

        impl Rule {
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)+];

            /// The invariants (I) and promises (P) that it is of.
            pub(crate) const fn of(self) -> &'static str {
                match self {
                    $(Self::$name => $of,)+
                }
            }
        }
    };
}

rules! {
    /// A record of a call cannot be: it ends before it begins, is there twice, or is of a topic
    /// without a log.
    BadRecord: "the history itself",

    /// The positions of a log are not 1, 2, 3 ….
    PositionGap: "I4 P3",
    /// The versions of a stream are not 1, 2, 3 … in the order of positions.
    VersionGap: "I4 P3",
    /// An id is in a log twice.
    IdTwice: "I5 P5",
    /// The time of an event is before that of the one before it.
    TimeBack: "I4 P3",
    /// An event says that it is of another topic.
    WrongTopic: "I2 P6",
    /// A stream that is deleted took something else than its restoration, or one that is not was
    /// restored.
    DeletedStreamGrew: "I6, section 5 of the design",

    /// Something that was acknowledged is not there.
    Lost: "I1 P1",
    /// Something acknowledged is there at another position or version than its receipt says.
    WrongReceipt: "I1 P3",
    /// An event is not what was appended under its id.
    Changed: "I1 I12 P6",
    /// An append is there in part, or not one after the other.
    Torn: "I3 P2",
    /// An event is there that nobody appended.
    Invented: "I2 P6",
    /// An event is there whose every append was refused.
    RefusedRecorded: "I2 P4",
    /// An append was recorded where its stream was not at the version that it expected.
    ExpectedBroken: "I6 P4",
    /// Two appends that expected the same version were both acknowledged.
    TwoWinners: "I6 P4",
    /// An append was recorded after an event that its condition rules out.
    ConditionBroken: "I6 P4",
    /// An append that had ended before another began is behind it.
    RealTime: "I7 P3",
    /// A duplicate was given another receipt than the first.
    WrongDuplicate: "I5 P5",
    /// An append was called a duplicate that was recorded nowhere before.
    DuplicateOfNothing: "I5 P5",
    /// The same append was acknowledged as new twice.
    RecordedAgain: "I5 P5",
    /// An append that was known to be recorded was refused when it was repeated.
    RetryRefused: "I5 P5",

    /// A version was given as the reason of a refusal that the stream did not have during the call,
    /// or that was expected.
    UnjustifiedVersion: "I6 P4",
    /// An event was given as the reason of a refusal that the condition does not rule out, or that
    /// was not there, or not the first.
    UnjustifiedCondition: "I6 P4",
    /// An append was refused for the deletion of a stream that was not deleted during the call.
    UnjustifiedDeleted: "I6, section 5 of the design",
    /// An append was refused for ids that were not recorded, or recorded by the same append.
    UnjustifiedConflict: "I5 P5",
    /// A topic was called sealed while nobody moved it.
    SealedWithoutMove: "I11, section 7 of the design",

    /// A stream was not in the state that was told, at no moment of the call.
    WrongState: "I1 I7 P7",
    /// A stream was said not to be there that was.
    UnjustifiedNotFound: "I7 P7",

    /// An event was read or delivered that is not in the final log at its place.
    SeenForeign: "I1 I7 I8 P3",
    /// An event was read or delivered with other content than it has in the final log.
    SeenChanged: "I12 P6",
    /// The same, and the topic was moved since.
    ChangedByMove: "I11, section 7 of the design",
    /// An event was read or delivered before anybody had begun to append it.
    SeenEarly: "I2 I7",

    /// A read gave an event that was not asked for, or more than its limit.
    ReadUnasked: "I7 P6",
    /// A read was not in order.
    ReadOrder: "I7 P3",
    /// A read left out an event before one that it gave.
    ReadHole: "I7 P3",
    /// A read saw part of an append.
    ReadPart: "I3 P2",
    /// A read did not see what was acknowledged before it began.
    ReadStale: "I7 P7",
    /// A read did not see what somebody had seen before it began.
    HeadWentBack: "I7 P3",
    /// A read told a position up to which it cannot have looked.
    WrongLookedTo: "I7 P3",
    /// A stream was read though it was deleted, or not read though it was not.
    ReadOfDeleted: "I7, section 5 of the design",

    /// A subscription delivered an event twice.
    DeliveryTwice: "I8 P8",
    /// A subscription left out an event.
    DeliveryMissed: "I8 P8",
    /// A subscription delivered an event after a later one.
    DeliveryOrder: "I8 P8",
    /// A subscription delivered an event that was not asked for.
    DeliveryUnasked: "I8 P8",
    /// A subscription from now began elsewhere.
    WrongStart: "I8 P8",
    /// A subscription's position cannot be.
    WrongCheckpoint: "I8 P8",
    /// A subscription did not come to the end in the time that it was given.
    NotReached: "I9 P8",
}

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) topic: String,
    pub(crate) text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, topic, text } = self;
        write!(f, "{rule:?} ({}) in {topic:?}: {text}", rule.of())
    }
}

/// Which call it is, for texts.
pub(crate) fn who(entry: &Entry) -> String {
    let Entry {
        process,
        client,
        op,
        begin,
        end,
        ..
    } = entry;
    format!("call {op} of client {client} of process {process}, at {begin} to {end}")
}

/// What was found. Of each rule only the first violations are kept, because one lost event can show
/// in a million reads.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    found: Vec<Violation>,
    counts: HashMap<(Rule, String), usize>,
}

impl Findings {
    /// The most violations of one rule in one topic that are kept.
    pub(crate) const MOST: usize = 100;

    pub(crate) fn add(&mut self, rule: Rule, topic: &str, text: impl FnOnce() -> String) {
        let count = self.counts.entry((rule, topic.to_owned())).or_default();
        *count += 1;
        if *count <= Self::MOST {
            self.found.push(Violation {
                rule,
                topic: topic.to_owned(),
                text: text(),
            });
        }
    }

    pub(crate) fn into_violations(mut self) -> Vec<Violation> {
        self.found.sort_by_key(|violation| violation.rule);
        self.found
    }
}
