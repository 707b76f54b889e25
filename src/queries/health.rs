//! How the store is.

use crate::{
    context::Context,
    models::{HealthReport, HealthStatus, RepositoryHealth},
};

pub(crate) async fn health(context: &Context) -> HealthReport {
    let Ok(_pass) = context.enter() else {
        let closed =
            RepositoryHealth::new("store", HealthStatus::Down).last_error("the store is closed");
        return HealthReport::new(vec![closed]);
    };
    HealthReport::new(context.registry.health().await)
}
