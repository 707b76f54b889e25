//! `Notify` with switches.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Tells those who wait.
#[derive(Debug, Default)]
pub struct Notify(::tokio::sync::Notify);

/// Waits to be told.
#[derive(Debug)]
pub struct Notified<'a>(Pin<Box<::tokio::sync::futures::Notified<'a>>>);

impl Notify {
    /// Nobody waits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits to be told.
    pub fn notified(&self) -> Notified<'_> {
        crate::switch();
        Notified(Box::pin(self.0.notified()))
    }

    /// Tells all who wait.
    pub fn notify_waiters(&self) {
        crate::switch();
        self.0.notify_waiters();
        crate::switch();
    }
}

impl Notified<'_> {
    /// Waits from now on.
    pub fn enable(mut self: Pin<&mut Self>) -> bool {
        crate::switch();
        let told = self.0.as_mut().enable();
        crate::switch();
        told
    }
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        crate::switch();
        self.0.as_mut().poll(context)
    }
}
