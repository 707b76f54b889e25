//! Secrets in settings: found, and masked wherever they would be shown.

use super::Options;

const MASK: &str = "***";
/// What a parameter is called that holds a secret, in part.
const SECRET_WORDS: [&str; 12] = [
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "credential",
    "signature",
    "access_key",
    "account_key",
    "master_key",
    "sas_key",
    "encryption_key",
];

/// The text with every secret in it replaced by `***`. `${NAME}`s stay as they are.
pub(crate) fn mask(text: &str) -> String {
    let mut masked = text.to_owned();
    // From the end, so that what was found before stays where it is.
    for (start, end) in secrets(text).into_iter().rev() {
        if !is_reference(text.get(start..end).unwrap_or_default()) {
            masked.replace_range(start..end, MASK);
        }
    }
    masked
}

/// The settings of an adapter with every secret in them replaced by `***`.
pub(crate) fn mask_options(options: &Options) -> Options {
    let masked = |(key, value): (&String, &String)| {
        let hidden = names_secret(key) && !is_reference(value);
        let shown = if hidden { MASK.to_owned() } else { mask(value) };
        (key.clone(), shown)
    };
    options.iter().map(masked).collect()
}

/// Whether the text holds a secret as it is, and not as `${NAME}`.
pub(crate) fn has_plain_secret(text: &str) -> bool {
    secrets(text)
        .into_iter()
        .any(|(start, end)| !is_reference(text.get(start..end).unwrap_or_default()))
}

/// Whether a setting of this name holds a secret.
pub(crate) fn names_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| key.contains(word)) || key == "key" || key == "sig"
}

/// Whether a secret is given by reference, and is thus none.
pub(crate) fn is_reference(secret: &str) -> bool {
    secret.starts_with("${")
        && secret.ends_with('}')
        && !secret.get(2..).unwrap_or_default().contains("${")
}

/// Where the secrets are: the password in front of the host, and the values of parameters whose
/// names say so. Ascending, without overlap.
fn secrets(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let authority = text.find("://").map_or(0, |at| at + 3);
    let rest = text.get(authority..).unwrap_or_default();
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // A password may itself contain those, so the last `@` counts where there is one.
    let end = rest.rfind('@').map_or(end, |at| at + 1);
    let user = rest.get(..end).unwrap_or_default();
    if authority > 0
        && let Some(at) = user.rfind('@')
        && let Some(colon) = user.get(..at).and_then(|user| user.find(':'))
        && colon + 1 < at
    {
        found.push((authority + colon + 1, authority + at));
    }
    let mut at = found.last().map_or(0, |(_, end)| *end);
    while let Some(equals) = text
        .get(at..)
        .and_then(|rest| rest.find('='))
        .map(|found| at + found)
    {
        let value = equals + 1;
        let name = text.get(..equals).unwrap_or_default();
        let name = name
            .rsplit(['?', '&', ';', ' ', ','])
            .next()
            .unwrap_or_default();
        let rest = text.get(value..).unwrap_or_default();
        let length = rest.find(['&', ';', ' ', ',']).unwrap_or(rest.len());
        if names_secret(name) && length > 0 {
            found.push((value, value + length));
        }
        at = value + length;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        for (text, masked) in [
            (
                "postgres://eve:hunter2@host/db",
                "postgres://eve:***@host/db",
            ),
            (
                "postgres://eve:hun/t@er2@host/db",
                "postgres://eve:***@host/db",
            ),
            (
                "postgres://eve:${PW}@host/db",
                "postgres://eve:${PW}@host/db",
            ),
            (
                "postgres://eve@host/db?password=x&a=b",
                "postgres://eve@host/db?password=***&a=b",
            ),
            ("host=h password=x user=u", "host=h password=*** user=u"),
            (
                "s3://b/p?aws_secret_access_key=k&region=r",
                "s3://b/p?aws_secret_access_key=***&region=r",
            ),
            ("./data", "./data"),
            ("s3://bucket/a:b", "s3://bucket/a:b"),
        ] {
            assert_eq!(mask(text), masked);
            assert_eq!(has_plain_secret(text), text != masked, "{text}");
        }
    }
}
