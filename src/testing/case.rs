//! The promises, and the cases that check them.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::Fixture;

/// What a repository promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Promise {
    /// P1: what was acknowledged is there after a crash.
    Durable,
    /// P2: no reader sees part of an append.
    Atomic,
    /// P3: positions and versions have no holes, never change, and become visible in order.
    Ordered,
    /// P4: of appends that rule one another out, exactly one wins.
    Guarded,
    /// P5: the same append again is recognised, and another one under its ids refused.
    Idempotent,
    /// P6: an event read is an event written.
    Exact,
    /// P7: what was acknowledged is seen by every read after it.
    ReadYourWrites,
    /// P8: who follows a topic gets every event once, in order.
    Live,
    /// P9: several processes keep to the same promises.
    Shared,
    /// P10: no success or failure is reported that was not seen.
    Unknown,
    /// P11: what is broken in one place leaves the others working.
    Contained,
    /// P12: memory does not grow with the topic.
    Bounded,
}

impl Promise {
    /// Every promise, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Durable,
        Self::Atomic,
        Self::Ordered,
        Self::Guarded,
        Self::Idempotent,
        Self::Exact,
        Self::ReadYourWrites,
        Self::Live,
        Self::Shared,
        Self::Unknown,
        Self::Contained,
        Self::Bounded,
    ];

    /// The promise as a part of a test's name: `p4_guarded`.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Durable => "p1_durable",
            Self::Atomic => "p2_atomic",
            Self::Ordered => "p3_ordered",
            Self::Guarded => "p4_guarded",
            Self::Idempotent => "p5_idempotent",
            Self::Exact => "p6_exact",
            Self::ReadYourWrites => "p7_read_your_writes",
            Self::Live => "p8_live",
            Self::Shared => "p9_shared",
            Self::Unknown => "p10_unknown",
            Self::Contained => "p11_contained",
            Self::Bounded => "p12_bounded",
        }
    }
}

/// One thing that a promise means, and how it is checked.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The promise.
    pub promise: Promise,
    /// What is checked, as a sentence in snake case.
    pub name: &'static str,
    /// Checks it at a fresh site of the fixture, in a multi-threaded tokio runtime. Panics where
    /// the promise is broken.
    pub run: fn(Arc<dyn Fixture>) -> BoxFuture<'static, ()>,
}

/// Every case, sorted by promise.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        super::durable::CASES,
        super::atomic::CASES,
        super::ordered::CASES,
        super::guarded::CASES,
        super::conditions::CASES,
        super::contended::CASES,
        super::stream_deletion::CASES,
        super::sealing::CASES,
        super::idempotent::CASES,
        super::conflicting::CASES,
        super::retried::CASES,
        super::exact::CASES,
        super::named::CASES,
        super::reads::CASES,
        super::importing::CASES,
        super::stored::CASES,
        super::read_your_writes::CASES,
        super::live::CASES,
        super::subscribed::CASES,
        super::subscribers::CASES,
        super::shared::CASES,
        super::unknown::CASES,
        super::contained::CASES,
        super::bounded::CASES,
    ]
    .concat();
    cases.sort_by_key(|case| case.promise);
    cases
}

/// Makes a table of cases from functions `async fn(Scene)`: a case's name is its function's, so
/// the two cannot drift apart.
macro_rules! case_table {
    ($promise:ident: $($name:ident),+ $(,)?) => {
        pub(super) const CASES: &[crate::testing::Case] = &[$(crate::testing::Case {
            promise: crate::testing::Promise::$promise,
            name: stringify!($name),
            run: |fixture| Box::pin(async move {
                $name(crate::testing::scene::Scene::begin(&*fixture).await).await;
            }),
        }),+];
    };
}
pub(super) use case_table;
