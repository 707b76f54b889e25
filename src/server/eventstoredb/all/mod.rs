//! The stream of all events.

use super::{
    answer::{Answer, Refusal},
    asked::Asked,
};
use crate::server::{access::Caller, state::App};

pub(super) async fn backward(
    _app: &App,
    _caller: &Caller,
    _asked: &Asked,
    _from: &str,
    _count: u64,
) -> Answer {
    Err(Refusal::not_found())
}

pub(super) async fn forward(
    _app: &App,
    _caller: &Caller,
    _asked: &Asked,
    _from: &str,
    _count: u64,
) -> Answer {
    Err(Refusal::not_found())
}

pub(super) async fn filtered_head(_app: &App, _caller: &Caller, _asked: &Asked) -> Answer {
    Err(Refusal::not_found())
}
