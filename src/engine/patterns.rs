//! Names of queues and the patterns that stand for some, as settings have them: `*` is any text,
//! `?` one character.

/// What other systems read as something else must not go unnoticed.
pub(crate) fn check(pattern: &str) -> Result<(), &'static str> {
    if pattern.is_empty() {
        return Err("a queue name is missing (two commas, or one at an end?)");
    }
    if pattern.contains(char::is_whitespace) {
        return Err("a blank in a name: names are separated by commas");
    }
    if pattern.contains(['[', ']', '{', '}']) {
        return Err("the patterns are * and ?; list what [ab] or {a,b} would match");
    }
    Ok(())
}

pub(crate) fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?'])
}

/// After a mismatch only the last `*` needs to take in one character more: names are made by
/// strangers, and trying every way to match could take for ever.
pub(crate) fn glob(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.chars(), name.chars());
    let mut last_star = None;
    loop {
        let (mut more_pattern, mut more_name) = (pattern.clone(), name.clone());
        match (more_pattern.next(), more_name.next()) {
            (Some('*'), _) => {
                last_star = Some((more_pattern.clone(), name.clone()));
                pattern = more_pattern;
            }
            (Some(wanted), Some(c)) if wanted == '?' || wanted == c => {
                (pattern, name) = (more_pattern, more_name);
            }
            (None, None) => return true,
            _ => {
                let Some((after_star, mut taken)) = last_star.take() else { return false };
                if taken.next().is_none() {
                    return false;
                }
                (pattern, name) = (after_star.clone(), taken.clone());
                last_star = Some((after_star, taken));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        let matching = [("*", ""), ("a*b*c", "axxbxbc"), ("*é?", "aéb"), ("**", "x"), ("a*", "a")];
        assert!(matching.iter().all(|(pattern, name)| glob(pattern, name)));
        let others =
            [("", "a"), ("?", ""), ("a*b", "ab c"), ("*a", "ab"), ("a?", "a"), ("b*", "a")];
        assert!(!others.iter().any(|(pattern, name)| glob(pattern, name)));
        assert!(!glob("*a*a*a*a*a*a*a*a*b", &"a".repeat(10_000)));
    }
}
