//! Opens a store: finds its configuration stream, or begins one, and folds it.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::{
    config::EventStoreConfig,
    context::Context,
    gate::Gate,
    models::{Error, Result, StoreId},
    move_topic,
    registry::Registry,
    write_model::{ConfigurationEvent, Extra, MoveWatch, StoreCreated, WriteModel},
};

/// How many subscriptions of a store may hold whole pages of history at a time.
const HISTORY: usize = 16;

/// Opens the store. It is ready when this returns; there is no state before that.
pub(crate) async fn open(config: EventStoreConfig) -> Result<Arc<Context>> {
    let EventStoreConfig {
        configuration,
        factories,
        limits,
        clock,
        resolver,
        read_only,
        plain_secrets,
        move_lease,
    } = config;
    let placement = configuration.placement();
    let registry = Registry::new(factories, resolver, Arc::clone(&clock), read_only);
    let repository = registry.get(&placement).await?;
    if !read_only {
        repository.prepare(&placement).await?;
    }
    let context = Context {
        gate: Gate::default(),
        write_model: Arc::new(WriteModel::new(repository, placement)),
        registry,
        limits: limits.clamped(),
        clock,
        read_only,
        plain_secrets,
        move_lease,
        watch: MoveWatch::default(),
        history: Arc::new(Semaphore::new(HISTORY)),
    };
    let begun = begin(&context).await;
    if begun.is_err() {
        // What was opened is let go of; why the store cannot be opened is the better error.
        drop(context.registry.close().await);
    }
    begun?;
    let context = Arc::new(context);
    let topics = context.write_model.current().topics();
    if !context.read_only && topics.iter().any(|topic| topic.moving.is_some()) {
        tokio::spawn(move_topic::recover(Arc::downgrade(&context)));
    }
    Ok(context)
}

/// Folds the configuration stream, and gives the store its id if it is new.
async fn begin(context: &Context) -> Result<()> {
    let none_yet = || Error::InvalidConfig {
        key: "configuration stream".to_owned(),
        reason: "no store was opened here before; open it once without `read_only`".to_owned(),
    };
    let model = match context.write_model.refresh().await {
        Err(Error::TopicNotFound { .. }) if context.read_only => return Err(none_yet()),
        model => model?,
    };
    if model.store.is_some() {
        return Ok(());
    }
    if context.read_only {
        return Err(none_yet());
    }
    let created = ConfigurationEvent::StoreCreated(StoreCreated {
        store: StoreId::generate(),
        extra: Extra::new(),
    });
    // Where another store was faster, its id is the one.
    context.write_model.commit(&created, &model).await.map(drop)
}
