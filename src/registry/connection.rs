//! Connections as text: `${NAME}`s resolved.

use crate::models::{Error, Result};

/// Replaces each `${NAME}` by what `resolver` says.
///
/// # Errors
/// [`Error::InvalidConfig`] names a variable that is missing, and a `${` without its end.
pub(crate) fn resolve(text: &str, resolver: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    let invalid = |reason| Error::InvalidConfig {
        key: "connection".to_owned(),
        reason,
    };
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| invalid("a `${` has no `}` after it".to_owned()))?;
        let value = resolver(name).ok_or_else(|| {
            invalid(format!(
                "the variable `{name}` is not set, or not one that may be named here"
            ))
        })?;
        resolved.push_str(before);
        resolved.push_str(&value);
        rest = after;
    }
    resolved.push_str(rest);
    Ok(resolved)
}

/// Puts each `${NAME}` of `text` back into what is told, where that shows what it stands for.
pub(crate) fn unresolve(told: &mut String, text: &str, resolver: &dyn Fn(&str) -> Option<String>) {
    // Less is no secret, and may well be a part of other words.
    const SHORTEST: usize = 4;
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("${") {
        let Some((name, later)) = after.split_once('}') else {
            return;
        };
        if let Some(value) = resolver(name).filter(|value| value.len() >= SHORTEST) {
            *told = told.replace(&value, &format!("${{{name}}}"));
        }
        rest = later;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_variables_stand_for_is_taken_out_of_what_is_told() {
        let known = |name: &str| match name {
            "A" => Some("secret".to_owned()),
            "B" => Some("x".to_owned()),
            _ => None,
        };
        let mut told = "cannot make /x/secret/secret".to_owned();
        unresolve(&mut told, "/${B}/${A}/${C}/${", &known);
        assert_eq!(told, "cannot make /x/${A}/${A}");
    }

    #[test]
    fn variables_are_resolved_or_named() {
        let known = |name: &str| (name == "A").then(|| "x".to_owned());
        assert_eq!(resolve("p://${A}/${A}", &known).unwrap(), "p://x/x");
        assert_eq!(resolve("plain $A", &known).unwrap(), "plain $A");
        let error = resolve("${B}", &known).unwrap_err().to_string();
        assert!(error.contains("`B`"), "{error}");
        assert!(resolve("${A", &known).is_err());
    }
}
