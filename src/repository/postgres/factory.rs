//! Opens `postgres` repositories.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    connection::{Address, normalise},
    pooler::sessions,
    repository::PostgresRepository,
    schema::{Server, ensure},
};
use crate::{
    models::{Error, Options, Result},
    repository::{EventRepository, OpenRequest, RepositoryFactory},
};

/// Opens `postgres` repositories. A connection is the URL of a database.
#[derive(Clone, Copy, Debug, Default)]
pub struct PostgresFactory;

#[async_trait]
impl RepositoryFactory for PostgresFactory {
    fn normalise(&self, connection: &str, options: &Options) -> Result<String> {
        normalise(connection, options)
    }

    async fn open(&self, request: OpenRequest) -> Result<Arc<dyn EventRepository>> {
        let address = Address::new(&request.connection, &request.options, request.read_only)?;
        let (name, read_only) = (request.name.clone(), request.read_only);
        let opening = address.clone();
        // A task of its own: the caller may be dropped, and the schema is made or it is not.
        let opened = tokio::spawn(async move {
            let failed = |failure: super::errors::Failure| failure.error(&name, None);
            let mut pair = sessions(&opening, &name).await?;
            let [session, _] = &mut pair;
            let server = Server::ask(&mut session.connection).await.map_err(failed)?;
            server.check(&opening, &name)?;
            ensure(
                session,
                &opening.catalog,
                &name,
                read_only || server.follows,
            )
            .await?;
            Ok((pair, server.follows))
        });
        match opened.await {
            Ok(opened) => {
                let (pair, follows) = opened?;
                let repository = PostgresRepository::new(address, request, pair, follows);
                Ok(Arc::new(repository))
            }
            Err(_) => Err(Error::Closed),
        }
    }
}
