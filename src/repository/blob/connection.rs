//! Connections: from a URL to an object store.

use std::{collections::BTreeMap, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ClientConfigKey, ObjectStore, ObjectStoreScheme, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    azure::{AzureConfigKey, MicrosoftAzureBuilder},
    gcp::{GoogleCloudStorageBuilder, GoogleConfigKey},
    local::LocalFileSystem,
    path::Path,
};
use url::Url;

use super::options::{Settings, invalid};
use crate::models::{Error, Options, Result, secrets::names_secret};

/// Options of the repository may stand in a URL behind this, to tell them from the store's own.
const PREFIX: &str = "annals.";

/// What kind of store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Local,
    Memory,
    S3,
    Azure,
    Google,
}

/// Where the store is, and how it is to be used. It may contain secrets, which its `Debug` leaves
/// out.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) kind: Kind,
    /// Without options.
    url: Url,
    pub(super) prefix: Path,
    pub(super) settings: Settings,
    /// Options of the store's own.
    theirs: BTreeMap<String, String>,
    /// Ours that were given.
    ours: BTreeMap<String, String>,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address")
            .field("kind", &self.kind)
            .field("prefix", &self.prefix)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

fn malformed(reason: impl Into<String>) -> Error {
    Error::InvalidConfig {
        key: "connection".to_owned(),
        reason: reason.into(),
    }
}

const FORMS: &str = "the connection of the blob adapter is a URL: `s3://BUCKET/PREFIX`, \
                     `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`, `file:///DIRECTORY` or \
                     `memory:///NAME`";

impl Address {
    /// Reads a connection and the options of a topic, which count more than those in the URL.
    pub(super) fn new(connection: &str, options: &Options) -> Result<Self> {
        // The cause may quote the URL, in which there may be a secret.
        let mut url = Url::parse(connection).map_err(|_| malformed(FORMS))?;
        let mut given: BTreeMap<String, String> = url
            .query_pairs()
            .map(|(key, value)| (own_name(&key), value.into_owned()))
            .collect();
        given.extend(
            options
                .iter()
                .map(|(key, value)| (own_name(key), value.clone())),
        );
        url.set_query(None);
        url.set_fragment(None);
        let (scheme, path) = ObjectStoreScheme::parse(&url).map_err(|_| malformed(FORMS))?;
        let (kind, prefix, grace) = match scheme {
            ObjectStoreScheme::Local => {
                if url.to_file_path().is_err() {
                    return Err(malformed(
                        "`file:///` is followed by the path of a directory",
                    ));
                }
                (Kind::Local, Path::default(), Duration::from_secs(600))
            }
            ObjectStoreScheme::Memory => (Kind::Memory, path, Duration::from_secs(60)),
            ObjectStoreScheme::AmazonS3 => (Kind::S3, path, Duration::from_secs(3600)),
            ObjectStoreScheme::MicrosoftAzure => (Kind::Azure, path, Duration::from_secs(3600)),
            ObjectStoreScheme::GoogleCloudStorage => {
                (Kind::Google, path, Duration::from_secs(3600))
            }
            _ => return Err(malformed(FORMS)),
        };
        let mut address = Self {
            kind,
            url,
            prefix,
            settings: Settings::new(grace),
            theirs: BTreeMap::new(),
            ours: BTreeMap::new(),
        };
        for (key, value) in given {
            if address.settings.set(&key, &value)? {
                address.ours.insert(key, value);
            } else {
                address.check_theirs(&key)?;
                address.theirs.insert(key, value);
            }
        }
        Ok(address)
    }

    /// Refuses an option that the store does not know: it would be ignored.
    fn check_theirs(&self, key: &str) -> Result<()> {
        let (known, examples) = match self.kind {
            Kind::Local | Kind::Memory => (false, ""),
            Kind::S3 => (
                AmazonS3ConfigKey::from_str(key).is_ok(),
                "`region`, `endpoint`, `access_key_id`, `secret_access_key`, `session_token`, \
                 `virtual_hosted_style_request`, `conditional_put`, `allow_http`",
            ),
            Kind::Azure => (
                AzureConfigKey::from_str(key).is_ok(),
                "`account_name`, `account_key`, `sas_token`, `endpoint`, `client_id`, \
                 `client_secret`, `tenant_id`, `allow_http`",
            ),
            Kind::Google => (
                GoogleConfigKey::from_str(key).is_ok(),
                "`service_account`, `service_account_key`, `application_credentials`, `base_url`, \
                 `allow_http`",
            ),
        };
        if known {
            return Ok(());
        }
        let ours: Vec<_> = Settings::KNOWN
            .iter()
            .map(|one| format!("`{one}`"))
            .collect();
        let mut reason = format!("the blob adapter has the options {}", ours.join(", "));
        if !examples.is_empty() {
            reason.push_str(&format!(
                ", and those that the `object_store` crate knows for this kind of store, such as \
                 {examples}"
            ));
        }
        Err(invalid(key, reason))
    }

    /// The connection with its options in it: equal for equal repositories.
    pub(super) fn normal(&self) -> String {
        let mut url = self.url.clone();
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        if !self.theirs.is_empty() || !self.ours.is_empty() {
            let mut query = url.query_pairs_mut();
            query.extend_pairs(&self.theirs);
            query.extend_pairs(
                self.ours
                    .iter()
                    .map(|(key, value)| (format!("{PREFIX}{key}"), value)),
            );
        }
        url.to_string()
    }

    /// Whether what is sent can be read on the way.
    pub(super) fn is_unencrypted(&self) -> bool {
        let endpoint = self.theirs.iter().find(|(key, _)| {
            key.ends_with("endpoint") || key.ends_with("endpoint_url") || key.ends_with("base_url")
        });
        endpoint.is_some_and(|(_, value)| value.starts_with("http://"))
    }

    /// The store, as one that tries once, and as one that tries again by itself.
    pub(super) fn stores(
        &self,
        read_only: bool,
    ) -> Result<(Arc<dyn ObjectStore>, Arc<dyn ObjectStore>)> {
        if self.kind == Kind::Local {
            let store = self.local(read_only)?;
            return Ok((Arc::clone(&store), store));
        }
        let again = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(50),
                max_backoff: Duration::from_secs(2),
                base: 2.0,
            },
            max_retries: 6,
            retry_timeout: self.settings.retry_timeout,
        };
        let once = RetryConfig {
            max_retries: 0,
            ..again.clone()
        };
        Ok((self.remote(once)?, self.remote(again)?))
    }

    fn local(&self, read_only: bool) -> Result<Arc<dyn ObjectStore>> {
        let path = self.url.to_file_path().map_err(|()| malformed(FORMS))?;
        let failed = |reason: String| Error::RepositoryUnavailable {
            repository: format!("blob:{}", self.normal()),
            reason,
            source: None,
        };
        if !read_only {
            make_directory(&path).map_err(|error| {
                failed(format!(
                    "the directory {} cannot be made: {error}",
                    path.display()
                ))
            })?;
        }
        let store = LocalFileSystem::new_with_prefix(&path)
            .map_err(|_| failed(format!("there is no directory {}", path.display())))?;
        Ok(Arc::new(store.with_fsync(true)))
    }

    fn remote(&self, retry: RetryConfig) -> Result<Arc<dyn ObjectStore>> {
        let timeouts = [
            (ClientConfigKey::Timeout, self.settings.request_timeout),
            (
                ClientConfigKey::ConnectTimeout,
                self.settings.connect_timeout,
            ),
        ];
        let timeouts = timeouts.map(|(key, timeout)| (key, format!("{} ms", timeout.as_millis())));
        /// One builder is like the other.
        macro_rules! build {
            ($builder:ty, $key:ty) => {{
                let mut builder = <$builder>::from_env().with_url(self.url.as_str());
                for (key, value) in timeouts {
                    builder = builder.with_config(<$key>::Client(key), value);
                }
                for (key, value) in &self.theirs {
                    if let Ok(key) = key.parse::<$key>() {
                        builder = builder.with_config(key, value);
                    }
                }
                let built = builder.with_retry(retry).build();
                Arc::new(built.map_err(|error| self.refused(&error))?)
            }};
        }
        Ok(match self.kind {
            Kind::Azure => build!(MicrosoftAzureBuilder, AzureConfigKey),
            Kind::Google => build!(GoogleCloudStorageBuilder, GoogleConfigKey),
            Kind::S3 | Kind::Local | Kind::Memory => build!(AmazonS3Builder, AmazonS3ConfigKey),
        })
    }

    /// The error for options that the store's builder does not take.
    fn refused(&self, error: &object_store::Error) -> Error {
        let text = error.to_string();
        let secrets = self.theirs.iter().filter(|(key, _)| names_secret(key));
        let mut secrets = secrets.map(|(_, value)| value.as_str());
        let tells = secrets.any(|secret| !secret.is_empty() && text.contains(secret));
        let reason = if tells {
            "an option that is a secret is malformed".to_owned()
        } else {
            text
        };
        malformed(reason)
    }
}

/// A name without the prefix of ours.
fn own_name(key: &str) -> String {
    key.strip_prefix(PREFIX).unwrap_or(key).to_ascii_lowercase()
}

/// Makes a directory, and sees to it that it survives a power cut.
fn make_directory(path: &PathBuf) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut missing = Vec::new();
    let mut at = path.as_path();
    while !at.exists() {
        missing.push(at.to_owned());
        match at.parent() {
            Some(parent) => at = parent,
            None => break,
        }
    }
    std::fs::create_dir_all(path)?;
    for made in missing {
        if let Some(parent) = made.parent() {
            std::fs::File::open(parent)?.sync_all()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(connection: &str) -> Result<Address> {
        Address::new(connection, &Options::new())
    }

    #[test]
    fn connections_are_read() {
        for (connection, kind, prefix) in [
            ("s3://bucket/a/b", Kind::S3, "a/b"),
            ("s3a://bucket", Kind::S3, ""),
            ("gs://bucket/a", Kind::Google, "a"),
            ("az://container/a", Kind::Azure, "a"),
            (
                "abfss://fs@account.dfs.core.windows.net/a",
                Kind::Azure,
                "a",
            ),
            ("file:///tmp/a", Kind::Local, ""),
            ("memory:///a", Kind::Memory, "a"),
            (
                "s3://bucket/a?region=r&allow_http=true&annals.grace_ms=5000",
                Kind::S3,
                "a",
            ),
        ] {
            let address = address(connection).unwrap();
            assert_eq!(address.kind, kind, "{connection}");
            assert_eq!(address.prefix.as_ref(), prefix, "{connection}");
        }
        for connection in [
            "",
            "bucket",
            "http://host/a",
            "ftp://host",
            "file://host/a",
            "memory://x/",
        ] {
            let error = address(connection).unwrap_err();
            assert!(matches!(error, Error::InvalidConfig { .. }), "{connection}");
        }
    }

    #[test]
    fn two_connections_to_one_place_have_one_form() {
        let normal = |connection| address(connection).unwrap().normal();
        let one = normal("s3://bucket/a/?endpoint=http://h:1&region=r&grace_ms=5000");
        assert_eq!(
            one,
            normal("s3://bucket/a?annals.grace_ms=5000&region=r&endpoint=http://h:1")
        );
        assert_ne!(
            one,
            normal("s3://bucket/b?annals.grace_ms=5000&region=r&endpoint=http://h:1")
        );
        assert_eq!(normal(&one), one);
        assert_eq!(normal("file:///a/b/../c/"), normal("file:///a/c"));
    }

    #[test]
    fn an_option_that_nobody_knows_is_refused_by_name() {
        for connection in [
            "s3://bucket/a?regoin=r",
            "az://container/a?account=r",
            "gs://bucket/a?key=r",
            "file:///a?region=r",
            "memory:///a?grace=1",
        ] {
            let key = connection.split(['?', '=']).nth(1).unwrap();
            let error = address(connection).unwrap_err().to_string();
            assert!(error.contains(&format!("`{key}`")), "{error}");
        }
    }
}
