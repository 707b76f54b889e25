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
        let value =
            resolver(name).ok_or_else(|| invalid(format!("the variable `{name}` is not set")))?;
        resolved.push_str(before);
        resolved.push_str(&value);
        rest = after;
    }
    resolved.push_str(rest);
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

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
