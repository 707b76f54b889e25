//! Which variables of the environment may be named in connections, options and secrets of webhooks: who
//! configures topics is not thereby to learn everything that the server was given.

use std::collections::BTreeSet;

use super::settings::{Settings, Wrong};

/// The variables that may be named.
#[derive(Clone, Debug)]
pub(super) struct Variables {
    /// The server's own settings name them.
    own: BTreeSet<String>,
    /// Names; where one ends with `*`, all that begin so.
    allowed: Vec<String>,
}

impl Variables {
    pub(super) fn of(settings: &Settings) -> Result<Self, Wrong> {
        let mut own = BTreeSet::new();
        for place in [settings.configuration()?, settings.default_placement()?] {
            own.extend(named_in(&place.connection));
            place
                .options
                .values()
                .for_each(|value| own.extend(named_in(value)));
        }
        Ok(Self {
            own,
            allowed: settings.variables.clone(),
        })
    }

    /// What a variable stands for, if it is set and may be named.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.may_be_named(name)
            .then(|| std::env::var(name).ok())
            .flatten()
    }

    fn may_be_named(&self, name: &str) -> bool {
        let allows = |allowed: &String| match allowed.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == allowed,
        };
        self.own.contains(name) || self.allowed.iter().any(allows)
    }
}

/// Each `NAME` of the `${NAME}`s in a text.
fn named_in(text: &str) -> impl Iterator<Item = String> + '_ {
    let behind = text.split("${").skip(1);
    behind.filter_map(|rest| Some(rest.split_once('}')?.0.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_or_the_servers_own_may_be_named() {
        let settings: Settings = toml::from_str(
            r#"
            variables = ["HOOK_*", "STORE"]
            configuration = { adapter = "postgres", connection = "postgres://${USER_NAME}:${PW}@h/d", options = { a = "${OPTION}" } }
            default-placement = { adapter = "file", connection = "/x/${DIRECTORY}" }
            "#,
        )
        .unwrap();
        let variables = Variables::of(&settings).unwrap();
        for name in [
            "HOOK_",
            "HOOK_A",
            "STORE",
            "USER_NAME",
            "PW",
            "OPTION",
            "DIRECTORY",
        ] {
            assert!(variables.may_be_named(name), "{name}");
        }
        for name in [
            "HOOK",
            "STORE_A",
            "STOR",
            "PATH",
            "",
            "*",
            "AWS_SECRET_ACCESS_KEY",
        ] {
            assert!(!variables.may_be_named(name), "{name}");
        }
        let everything: Settings = toml::from_str(r#"variables = ["*"]"#).unwrap();
        assert!(Variables::of(&everything).unwrap().may_be_named("PATH"));
    }
}
