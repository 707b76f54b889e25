//! What an access file says.

use std::{collections::HashMap, sync::Arc};

use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use super::{Action, pattern};

/// A token's SHA-256: tokens are random enough that nothing slower is needed.
pub(super) type Digest = [u8; 32];

/// What is in the file, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    caller: Vec<Entry>,
    #[serde(default)]
    anonymous: Anonymous,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    password: Option<String>,
    #[serde(default)]
    tokens: Vec<String>,
    #[serde(default)]
    allow: Vec<Grant>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Anonymous {
    #[serde(default)]
    allow: Vec<Grant>,
}

/// Actions that are allowed with topics of these patterns.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Grant {
    topics: Vec<String>,
    actions: Vec<Action>,
}

/// What a caller has shown. Never the secret itself.
#[derive(Clone)]
pub(super) enum Credential {
    None,
    Token(Digest),
    /// The hash that a password was found to have.
    Password(Arc<str>),
}

/// A caller that the file names.
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) password: Option<Arc<str>>,
    tokens: Vec<Digest>,
    allow: Vec<Grant>,
}

impl Identity {
    pub(super) fn may(&self, action: Action, topic: &str) -> bool {
        self.grants(action).any(|one| pattern::matches(one, topic))
    }

    /// Whether this is allowed with all topics, those too that are not there yet.
    pub(super) fn may_everywhere(&self, action: Action) -> bool {
        let is_all = |one: &str| !one.is_empty() && one.bytes().all(|byte| byte == b'*');
        self.grants(action).any(is_all)
    }

    pub(super) fn may_nothing(&self) -> bool {
        self.allow.is_empty()
    }

    /// The patterns of the topics with which this is allowed.
    fn grants(&self, action: Action) -> impl Iterator<Item = &str> {
        let of_action = move |grant: &&Grant| grant.actions.contains(&action);
        let grants = self.allow.iter().filter(of_action);
        grants.flat_map(|grant| &grant.topics).map(String::as_str)
    }
}

/// All callers.
pub(super) struct Rules {
    by_name: HashMap<String, Arc<Identity>>,
    by_token: HashMap<Digest, Arc<Identity>>,
    anonymous: Arc<Identity>,
    /// A hash to work on for callers who are not there, so that they cost what others cost.
    decoy: Option<Arc<str>>,
}

impl Rules {
    /// Reads what a file holds. What is said of a wrong file repeats nothing of it that could be secret.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| describe(text, &error))?;
        let mut rules = Self {
            by_name: HashMap::new(),
            by_token: HashMap::new(),
            anonymous: Arc::new(Identity {
                name: "anonymous".to_owned(),
                password: None,
                tokens: Vec::new(),
                allow: file.anonymous.allow,
            }),
            decoy: None,
        };
        for entry in file.caller {
            rules.add(entry)?;
        }
        Ok(rules)
    }

    fn add(&mut self, entry: Entry) -> Result<(), String> {
        let Entry {
            name,
            password,
            tokens,
            allow,
        } = entry;
        if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) {
            return Err(
                "the name of a caller is empty, or holds a colon or control characters".to_owned(),
            );
        }
        if let Some(password) = &password {
            super::passwords::check(password).map_err(|why| {
                format!("the password of {name} {why}; `annals serve password` makes a hash")
            })?;
        }
        let tokens = tokens
            .iter()
            .map(|token| digest(token))
            .collect::<Option<Vec<_>>>();
        let Some(tokens) = tokens else {
            return Err(format!(
                "a token of {name} is not a SHA-256 in hexadecimal; `annals serve token` makes both"
            ));
        };
        let identity = Arc::new(Identity {
            name: name.clone(),
            password: password.map(Arc::from),
            tokens,
            allow,
        });
        if self.decoy.is_none() {
            self.decoy = identity.password.clone();
        }
        for token in &identity.tokens {
            if self
                .by_token
                .insert(*token, Arc::clone(&identity))
                .is_some()
            {
                return Err(format!("a token of {name} is another caller's too"));
            }
        }
        if self.by_name.insert(name.clone(), identity).is_some() {
            return Err(format!("there are two callers of the name {name}"));
        }
        Ok(())
    }

    pub(super) const fn anonymous(&self) -> &Arc<Identity> {
        &self.anonymous
    }

    pub(super) fn named(&self, name: &str) -> Option<&Arc<Identity>> {
        self.by_name.get(name)
    }

    /// The caller whose token this is. That the look-up takes a different time for a different digest tells
    /// nothing of the token; the comparison at its end is in constant time all the same.
    pub(super) fn with_token(&self, digest: &Digest) -> Option<&Arc<Identity>> {
        let identity = self.by_token.get(digest)?;
        let has = |one: &Digest| bool::from(one.ct_eq(digest));
        identity.tokens.iter().any(has).then_some(identity)
    }

    pub(super) const fn decoy(&self) -> Option<&Arc<str>> {
        self.decoy.as_ref()
    }

    /// The caller of this name, if it could still show the same credential.
    pub(super) fn find(&self, name: &str, credential: &Credential) -> Option<&Arc<Identity>> {
        match credential {
            Credential::None => Some(&self.anonymous),
            Credential::Token(digest) => self.with_token(digest).filter(|found| found.name == name),
            Credential::Password(hash) => self
                .named(name)
                .filter(|found| found.password.as_ref() == Some(hash)),
        }
    }
}

fn digest(hexadecimal: &str) -> Option<Digest> {
    let (pairs, rest) = hexadecimal.as_bytes().as_chunks::<2>();
    let mut digest = Digest::default();
    if pairs.len() != digest.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(pairs) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16)
            .ok()
            .filter(|_| !pair.contains('+'))?;
    }
    Some(digest)
}

/// Where the file is wrong, and how, without the values that it holds: one may be a secret in the wrong place.
fn describe(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(1, |span| {
        let before = text.get(..span.start).unwrap_or(text);
        before.matches('\n').count() + 1
    });
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

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn rules() -> Rules {
        let text = format!(
            r#"
            [[caller]]
            name = "shop"
            tokens = ["{TOKEN}"]
            allow = [
                {{ topics = ["orders", "shop-*"], actions = ["read", "append"] }},
                {{ topics = ["*"], actions = ["read"] }},
            ]
            [anonymous]
            allow = [{{ topics = ["public-*"], actions = ["read"] }}]
            "#
        );
        Rules::parse(&text).unwrap()
    }

    #[test]
    fn what_is_not_allowed_is_refused() {
        let rules = rules();
        let shop = rules.named("shop").unwrap();
        assert!(shop.may(Action::Append, "orders") && shop.may(Action::Append, "shop-eu"));
        assert!(!shop.may(Action::Append, "payments") && shop.may(Action::Read, "payments"));
        assert!(shop.may_everywhere(Action::Read) && !shop.may_everywhere(Action::Append));
        assert!(!shop.may(Action::Configure, "orders") && !shop.may(Action::Admin, "orders"));
        assert!(rules.anonymous().may(Action::Read, "public-news"));
        assert!(!rules.anonymous().may(Action::Read, "orders"));
    }

    #[test]
    fn a_caller_is_found_again_by_the_same_credential_only() {
        let rules = rules();
        let token = digest(TOKEN).unwrap();
        assert!(rules.find("shop", &Credential::Token(token)).is_some());
        assert!(rules.find("other", &Credential::Token(token)).is_none());
        assert!(rules.find("shop", &Credential::Token([0; 32])).is_none());
        assert!(
            rules
                .find("shop", &Credential::Password("$argon2id$".into()))
                .is_none()
        );
    }

    #[test]
    fn what_is_said_of_a_wrong_file_repeats_no_values_of_it() {
        for text in [
            "[[caller]]\nname = \"a\"\npassword = \"hunter2\"",
            "[[caller]]\nname = \"a\"\ntokens = [\"hunter2\"]",
            "[[caller]]\nname = \"a\"\ntokens = \"hunter2\"",
            "[[caller]]\nname = \"a\"\nallow = \"hunter2\"",
            "hunter2",
            "[[caller]]\nname = \"a:hunter2\"",
            "[[caller]]\npassword = \"hunter2\nname = \"a\"",
        ] {
            let said = Rules::parse(text).err().unwrap();
            assert!(!said.contains("hunter2"), "{said}");
        }
        let unknown = Rules::parse("[[caller]]\nname = \"a\"\npasword = \"x\"")
            .err()
            .unwrap();
        assert!(
            unknown.contains("line 3") && unknown.contains("pasword"),
            "{unknown}"
        );
    }
}
