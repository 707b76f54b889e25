//! `annals serve`.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use annals::{
    ConfigurationStream, EventStore, EventStoreConfig,
    server::{Server, ServerConfig},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The directory of the configuration stream.
    #[arg(long, default_value = "annals-data")]
    data: PathBuf,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:2116")]
    listen: SocketAddr,
}

pub(crate) async fn serve(arguments: Arguments) -> ExitCode {
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("annals: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let data = arguments.data.display().to_string();
    let store = EventStore::open(EventStoreConfig::new(ConfigurationStream::file(data))).await?;
    let config = ServerConfig::new().listen(arguments.listen);
    let server = Server::bind(&store, config).await?;
    println!("listening on http://{}", server.address()?);
    let stop = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    server.serve(stop).await?;
    store.close().await?;
    Ok(())
}
