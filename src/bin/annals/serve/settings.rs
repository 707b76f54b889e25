//! What a server is run with: flags and variables over a file over defaults.

use std::{
    collections::BTreeMap,
    fmt, fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use annals::server::{ServerConfig, ServerLimits};
use serde::{Deserialize, Serialize};

use super::{arguments::Flags, logs::Format};

/// The directory of the store, unless another one is given.
const DATA: &str = "annals-data";

/// What the server was told makes no sense.
#[derive(Debug)]
pub(super) struct Wrong(String);

impl Wrong {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All settings, as a file has them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct Settings {
    pub(super) data: Option<PathBuf>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) allow_plain_secrets: bool,
    pub(super) access_file: Option<PathBuf>,
    pub(super) insecure_plain_http: bool,
    pub(super) insecure_open_access: bool,
    pub(super) allowed_hosts: Vec<String>,
    pub(super) public_metrics: bool,
    pub(super) allow_private_webhooks: bool,
    pub(super) variables: Vec<String>,
    pub(super) drain_seconds: Option<f64>,
    pub(super) log: Option<String>,
    pub(super) log_format: Option<Format>,
    pub(super) traces_endpoint: Option<String>,
    pub(super) tls: Option<Tls>,
    configuration: Option<Place>,
    default_placement: Option<Place>,
    pub(super) limits: LimitSettings,
}

/// The files of a certificate and its key.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// A repository.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    pub(super) adapter: String,
    pub(super) connection: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) options: BTreeMap<String, String>,
}

/// The limits; what is not given is as [`ServerLimits`] has it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(super) struct LimitSettings {
    /// Of one event's payload, which is a limit of the store.
    pub(super) payload_bytes: Option<usize>,
    body_bytes: Option<u64>,
    json_depth: Option<u32>,
    header_bytes: Option<usize>,
    headers: Option<usize>,
    connections: Option<usize>,
    requests: Option<usize>,
    streams: Option<u32>,
    in_flight_bytes: Option<u64>,
    header_seconds: Option<f64>,
    body_seconds: Option<f64>,
    body_bytes_per_second: Option<u64>,
    write_seconds: Option<f64>,
    keep_alive_seconds: Option<f64>,
}

impl Settings {
    /// The settings of flags and variables, over those of the file that they name.
    pub(super) fn gather(flags: Flags) -> Result<Self, Wrong> {
        let mut settings = match &flags.config {
            Some(path) => Self::read(path)?,
            None => Self::default(),
        };
        settings.limits.overlay(&flags.limits)?;
        settings.tls = tls(settings.tls, &flags)?;
        if let (Some(adapter), Some(connection)) =
            (flags.configuration_adapter, flags.configuration_connection)
        {
            settings.configuration = Some(Place {
                adapter,
                connection,
                options: flags.configuration_options.into_iter().collect(),
            });
        }
        let security = flags.security;
        settings.data = flags.data.or(settings.data);
        settings.listen = flags.listen.or(settings.listen);
        settings.access_file = security.access_file.or(settings.access_file);
        settings.drain_seconds = flags.drain_seconds.or(settings.drain_seconds);
        settings.log = flags.log.or(settings.log);
        settings.log_format = flags.log_format.or(settings.log_format);
        settings.traces_endpoint = flags.traces_endpoint.or(settings.traces_endpoint);
        settings.allow_plain_secrets |= flags.allow_plain_secrets;
        settings.insecure_plain_http |= security.insecure_plain_http;
        settings.insecure_open_access |= security.insecure_open_access;
        settings.public_metrics |= security.public_metrics;
        settings.allow_private_webhooks |= security.allow_private_webhooks;
        if !security.variables.is_empty() {
            settings.variables = security.variables;
        }
        if !security.allowed_hosts.is_empty() {
            settings.allowed_hosts = security.allowed_hosts;
        }
        Ok(settings)
    }

    fn read(path: &Path) -> Result<Self, Wrong> {
        let wrong = |why: &dyn fmt::Display| Wrong::new(format!("{}: {why}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| wrong(&error))?;
        toml::from_str(&text).map_err(|error| wrong(&describe(&text, &error)))
    }

    pub(super) fn listen(&self) -> SocketAddr {
        let default = SocketAddr::from((Ipv4Addr::LOCALHOST, ServerConfig::PORT));
        self.listen.unwrap_or(default)
    }

    /// Where the configuration stream is: in files, unless another place is given.
    pub(super) fn configuration(&self) -> Result<Place, Wrong> {
        match &self.configuration {
            Some(place) => Ok(place.clone()),
            None => self.files(),
        }
    }

    /// Where topics are put that name no place: where the configuration stream is.
    pub(super) fn default_placement(&self) -> Result<Place, Wrong> {
        match &self.default_placement {
            Some(place) if !place.options.is_empty() => Err(Wrong::new(
                "a default placement has no options: they are given with each topic",
            )),
            Some(place) => Ok(place.clone()),
            None => self.configuration(),
        }
    }

    /// The data directory, by its whole path: it is recorded with topics, which are found from wherever the
    /// next server is started.
    fn files(&self) -> Result<Place, Wrong> {
        let data = self.data.as_deref().unwrap_or(Path::new(DATA));
        let whole = std::path::absolute(data)
            .map_err(|error| Wrong::new(format!("{}: {error}", data.display())))?;
        let connection = whole.into_os_string().into_string();
        let connection =
            connection.map_err(|_| Wrong::new("the path of the data directory is not UTF-8"))?;
        Ok(Place {
            adapter: "file".to_owned(),
            connection,
            options: BTreeMap::new(),
        })
    }

    pub(super) fn drain(&self) -> Result<Duration, Wrong> {
        seconds("drain-seconds", self.drain_seconds.unwrap_or(30.0))
    }

    /// All of it as a file, defaults written out and secrets masked.
    pub(super) fn to_toml(&self) -> Result<String, Wrong> {
        let mut settings = self.clone();
        settings.listen = Some(self.listen());
        settings.configuration = Some(self.configuration()?.masked());
        settings.default_placement = Some(self.default_placement()?.masked());
        settings.data = Some(self.data.clone().unwrap_or_else(|| PathBuf::from(DATA)));
        settings.drain_seconds = Some(self.drain()?.as_secs_f64());
        settings.log = Some(self.log.clone().unwrap_or_else(|| "info".to_owned()));
        settings.log_format = Some(self.log_format.unwrap_or_default());
        settings.limits = self.limits.written_out()?;
        toml::to_string(&settings).map_err(|error| Wrong::new(error.to_string()))
    }
}

fn tls(file: Option<Tls>, flags: &Flags) -> Result<Option<Tls>, Wrong> {
    let certificate = flags.security.tls_certificate.clone();
    let key = flags.security.tls_key.clone();
    let (former_certificate, former_key) =
        file.map_or((None, None), |tls| (Some(tls.certificate), Some(tls.key)));
    match (certificate.or(former_certificate), key.or(former_key)) {
        (Some(certificate), Some(key)) => Ok(Some(Tls { certificate, key })),
        (None, None) => Ok(None),
        _ => Err(Wrong::new("TLS needs both a certificate and its key")),
    }
}

impl Place {
    /// The same with passwords masked, and values of options that could be keys.
    fn masked(mut self) -> Self {
        self.connection = mask(&self.connection);
        for value in self
            .options
            .values_mut()
            .filter(|value| !value.contains("${"))
        {
            "***".clone_into(value);
        }
        self
    }
}

/// A URL without its password; what stands for a variable is none.
fn mask(connection: &str) -> String {
    let Some((scheme, rest)) = connection.split_once("://") else {
        return connection.to_owned();
    };
    let Some((user, host)) = rest.rsplit_once('@') else {
        return connection.to_owned();
    };
    match user.split_once(':') {
        Some((name, password)) if !password.starts_with("${") => {
            format!("{scheme}://{name}:***@{host}")
        }
        _ => connection.to_owned(),
    }
}

impl LimitSettings {
    /// Sets those that are given as texts.
    fn overlay(&mut self, given: &[(String, String)]) -> Result<(), Wrong> {
        if given.is_empty() {
            return Ok(());
        }
        let wrong = |error: &dyn fmt::Display| Wrong::new(format!("--limit: {error}"));
        let mut table = toml::Table::try_from(&*self).map_err(|error| wrong(&error))?;
        for (name, value) in given {
            let number = value.parse::<i64>().map(toml::Value::from);
            let number = number.or_else(|_| value.parse::<f64>().map(toml::Value::from));
            let number = number.map_err(|_| Wrong::new(format!("{name}: a number is expected")))?;
            table.insert(name.clone(), number);
        }
        let message = |error: toml::de::Error| wrong(&error.message());
        *self = table.try_into().map_err(message)?;
        Ok(())
    }

    pub(super) fn server(&self) -> Result<ServerLimits, Wrong> {
        let default = ServerLimits::default();
        let time = |name, given: Option<f64>, default| match given {
            Some(given) => seconds(name, given),
            None => Ok(default),
        };
        Ok(ServerLimits {
            body_bytes: self.body_bytes.unwrap_or(default.body_bytes),
            json_depth: self.json_depth.unwrap_or(default.json_depth),
            header_bytes: self.header_bytes.unwrap_or(default.header_bytes),
            headers: self.headers.unwrap_or(default.headers),
            connections: self.connections.unwrap_or(default.connections),
            requests: self.requests.unwrap_or(default.requests),
            streams: self.streams.unwrap_or(default.streams),
            in_flight_bytes: self.in_flight_bytes.unwrap_or(default.in_flight_bytes),
            header_timeout: time(
                "header-seconds",
                self.header_seconds,
                default.header_timeout,
            )?,
            body_timeout: time("body-seconds", self.body_seconds, default.body_timeout)?,
            body_rate: self.body_bytes_per_second.unwrap_or(default.body_rate),
            write_timeout: time("write-seconds", self.write_seconds, default.write_timeout)?,
            keep_alive: time(
                "keep-alive-seconds",
                self.keep_alive_seconds,
                default.keep_alive,
            )?,
        })
    }

    fn written_out(&self) -> Result<Self, Wrong> {
        let limits = self.server()?;
        let payload = annals::Limits::default().payload_bytes;
        Ok(Self {
            payload_bytes: Some(self.payload_bytes.unwrap_or(payload)),
            body_bytes: Some(limits.body_bytes),
            json_depth: Some(limits.json_depth),
            header_bytes: Some(limits.header_bytes),
            headers: Some(limits.headers),
            connections: Some(limits.connections),
            requests: Some(limits.requests),
            streams: Some(limits.streams),
            in_flight_bytes: Some(limits.in_flight_bytes),
            header_seconds: Some(limits.header_timeout.as_secs_f64()),
            body_seconds: Some(limits.body_timeout.as_secs_f64()),
            body_bytes_per_second: Some(limits.body_rate),
            write_seconds: Some(limits.write_timeout.as_secs_f64()),
            keep_alive_seconds: Some(limits.keep_alive.as_secs_f64()),
        })
    }
}

/// The longest time that a setting can be.
const LONGEST: f64 = 86_400.0;

fn seconds(name: &str, given: f64) -> Result<Duration, Wrong> {
    if !(0.001..=LONGEST).contains(&given) {
        return Err(Wrong::new(format!(
            "{name} is {given}, and has to be between 0.001 and {LONGEST}"
        )));
    }
    Ok(Duration::from_secs_f64(given))
}

/// Where a file is wrong, without what stands there: it may hold a secret.
fn describe(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    let message = error.message();
    let harmless = [
        "unknown field",
        "missing field",
        "unknown variant",
        "duplicate",
    ];
    if harmless.iter().any(|start| message.starts_with(start)) {
        return format!("line {line}: {message}");
    }
    format!("line {line} is malformed")
}
