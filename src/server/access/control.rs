//! Callers are recognised by what they show, and the access file is read again when it changes.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::http::{HeaderMap, StatusCode, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use parking_lot::RwLock;
use tracing::{error, info};

use super::{
    Caller, Known, Who,
    credentials::{PREFIX, digest},
    passwords::Passwords,
    rules::{Credential, Identity, Rules},
};
use crate::server::{
    files::{Seen, read},
    problem::Problem,
};

/// Who is let in.
#[derive(Debug)]
pub(in crate::server) struct Access {
    /// `None` where everybody is.
    control: Option<Arc<Control>>,
}

/// An access file, and what is known of those whom it names.
pub(super) struct Control {
    path: PathBuf,
    /// What was read last, and what the file looked like then. Held for as long as it takes to copy.
    rules: RwLock<(Arc<Rules>, Seen)>,
    passwords: Passwords,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Control").field(&self.path).finish()
    }
}

/// What the headers of a request say of its caller.
pub(in crate::server) enum Recognised {
    /// There is no access control.
    Everybody,
    Is(Caller),
    /// Nobody who is known.
    Unknown,
    /// Perhaps somebody: a password has to be checked.
    Verify(Verification),
}

/// A password that has to be checked.
pub(in crate::server) struct Verification {
    control: Arc<Control>,
    name: String,
    password: String,
}

impl Access {
    pub(in crate::server) async fn load(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else {
            return Ok(Self { control: None });
        };
        let control = Control {
            path: path.to_owned(),
            rules: RwLock::new(load(path).await?),
            passwords: Passwords::new(),
        };
        Ok(Self {
            control: Some(Arc::new(control)),
        })
    }

    /// Whether there is access control.
    pub(in crate::server) const fn is_on(&self) -> bool {
        self.control.is_some()
    }

    /// Reads the file again where it has changed, or where it is `forced`. A file that cannot be used changes
    /// nothing: who was let in still is, and who was not is not.
    pub(in crate::server) async fn reload(&self, forced: bool) {
        let Some(control) = &self.control else {
            return;
        };
        let looked = Seen::of(&control.path).await;
        if looked == control.rules.read().1 && !forced {
            return;
        }
        match load(&control.path).await {
            Ok(loaded) => {
                *control.rules.write() = loaded;
                info!("the access file was read again");
            }
            Err(error) => {
                control.rules.write().1 = looked;
                error!(%error, "the access file cannot be used, and the former rules stay");
            }
        }
    }

    /// Who sends these headers: one hash and one look-up for a token.
    pub(in crate::server) fn recognise(&self, headers: &HeaderMap) -> Recognised {
        let Some(control) = &self.control else {
            return Recognised::Everybody;
        };
        let rules = control.current();
        let Some(shown) = headers.get(header::AUTHORIZATION) else {
            let nobody = Arc::clone(rules.anonymous());
            return Recognised::Is(control.caller(nobody, Credential::None));
        };
        let Some((scheme, value)) = shown.to_str().ok().and_then(|text| text.split_once(' '))
        else {
            return Recognised::Unknown;
        };
        let value = value.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return control.with_token(&rules, value, None);
        }
        if scheme.eq_ignore_ascii_case("basic") {
            return control.with_password(&rules, value);
        }
        Recognised::Unknown
    }

    /// Checks a password.
    pub(in crate::server) async fn verify(
        &self,
        verification: Verification,
    ) -> Result<Caller, Problem> {
        let Verification {
            control,
            name,
            password,
        } = verification;
        let rules = control.current();
        let identity = rules.named(&name);
        let hash = identity.and_then(|identity| identity.password.as_ref());
        // A name that is not there costs what a wrong password costs.
        let Some(against) = hash.or_else(|| rules.decoy()) else {
            return Err(Caller::unknown());
        };
        let right = control.passwords.check(&name, &password, against).await;
        let Ok(right) = right else {
            return Err(Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too-many-logins",
                "too many passwords wait to be checked; try again later",
            ));
        };
        match (identity, hash) {
            (Some(identity), Some(hash)) if right => {
                let credential = Credential::Password(Arc::clone(hash));
                Ok(control.caller(Arc::clone(identity), credential))
            }
            _ => Err(Caller::unknown()),
        }
    }
}

impl Control {
    pub(super) fn current(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().0)
    }

    fn caller(self: &Arc<Self>, identity: Arc<Identity>, credential: Credential) -> Caller {
        Caller(Who::Known(Known {
            control: Arc::clone(self),
            identity,
            credential,
        }))
    }

    fn with_token(self: &Arc<Self>, rules: &Rules, token: &str, name: Option<&str>) -> Recognised {
        let digest = digest(token);
        match rules.with_token(&digest) {
            Some(identity) if name.is_none_or(|name| name == identity.name) => {
                Recognised::Is(self.caller(Arc::clone(identity), Credential::Token(digest)))
            }
            _ => Recognised::Unknown,
        }
    }

    fn with_password(self: &Arc<Self>, rules: &Rules, encoded: &str) -> Recognised {
        let decoded = STANDARD.decode(encoded).ok();
        let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((name, password)) = text.as_deref().and_then(|text| text.split_once(':')) else {
            return Recognised::Unknown;
        };
        // For clients that know no tokens: the name with a token of the caller.
        if password.starts_with(PREFIX) {
            return self.with_token(rules, password, Some(name));
        }
        let known = self.passwords.known(name, password);
        if let (Some(hash), Some(identity)) = (known, rules.named(name))
            && identity.password.as_ref() == Some(&hash)
        {
            return Recognised::Is(self.caller(Arc::clone(identity), Credential::Password(hash)));
        }
        Recognised::Verify(Verification {
            control: Arc::clone(self),
            name: name.to_owned(),
            password: password.to_owned(),
        })
    }
}

async fn load(path: &Path) -> io::Result<(Arc<Rules>, Seen)> {
    let unusable = |why: String| {
        let text = format!("{} is no access file: {why}", path.display());
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    let (bytes, seen) = read(path).await?;
    let text = String::from_utf8(bytes).map_err(|_| unusable("it is not UTF-8".to_owned()))?;
    let rules = Rules::parse(&text).map_err(unusable)?;
    Ok((Arc::new(rules), seen))
}
