//! JSON with line breaks, its numbers and names as they were written.

/// Text that is JSON, a member a line.
pub(super) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut characters = json.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            ' ' | '\n' | '\r' | '\t' => {}
            '"' => {
                out.push('"');
                let mut escaped = false;
                for c in characters.by_ref() {
                    out.push(c);
                    if c == '"' && !escaped {
                        break;
                    }
                    escaped = c == '\\' && !escaped;
                }
            }
            '{' | '[' => {
                out.push(c);
                while characters.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                if let Some(close) = characters.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(close);
                    continue;
                }
                depth += 1;
                line(&mut out, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c => out.push(c),
        }
    }
    out
}

/// The deepest indentation, so that a text of nothing but brackets does not grow without bound.
const DEEPEST: usize = 64;

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    (0..depth.min(DEEPEST)).for_each(|_| out.push_str("  "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pretty_says_the_same() {
        let text = r#"{"a":[1.50,{"b":"x, \"{y\\"}, [ ] ],"é":{},"n":12345678901234567890123}"#;
        let expected = "{\n  \"a\": [\n    1.50,\n    {\n      \"b\": \"x, \\\"{y\\\\\"\n    },\n    []\n  ],\n  \"é\": {},\n  \"n\": 12345678901234567890123\n}";
        assert_eq!(pretty(text), expected);
        assert_eq!(pretty("\n7 "), "7");
    }
}
