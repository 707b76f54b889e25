//! Patterns of topic names: `*` is any text, `?` any one character, all else itself.

/// Whether the whole name is of the pattern. Takes time by the product of their lengths at most.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut in_name) = (0, 0);
    // Where the last star is, and up to where of the name it reaches so far.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = name.get(in_name) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(one) if *one == b'?' || one == byte => {
                at += 1;
                in_name += 1;
            }
            _ => {
                let Some((of_star, reach)) = star else {
                    return false;
                };
                star = Some((of_star, reach + 1));
                at = of_star + 1;
                in_name = reach + 1;
            }
        }
    }
    pattern.iter().skip(at).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_is_of_the_whole_name() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "orders"),
            ("orders", "orders"),
            ("orders*", "orders"),
            ("orders-*", "orders-eu"),
            ("*-eu", "orders-eu"),
            ("o*s-*u", "orders-eu"),
            ("order?", "orders"),
            ("*a*a*", "banana"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "orders"),
            ("orders", "orders2"),
            ("orders", "Orders"),
            ("orders-*", "orders"),
            ("order?", "order"),
            ("*-eu", "orders-eu2"),
            ("a*b", "ab-c"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    /// What patterns mean, without regard for time.
    fn meant(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, _) => name.is_empty(),
            (Some((b'*', rest)), None) => meant(rest, name),
            (Some((b'*', rest)), Some((_, later))) => meant(rest, name) || meant(pattern, later),
            (Some((one, rest)), Some((byte, later))) => {
                (*one == b'?' || one == byte) && meant(rest, later)
            }
            (Some(_), None) => false,
        }
    }

    proptest! {
        #[test]
        fn patterns_match_what_they_mean(pattern in "[ab*?]{0,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(
                matches(&pattern, &name),
                meant(pattern.as_bytes(), name.as_bytes())
            );
        }
    }
}
