//! What must not be printed: the values of keys that look like secrets, and passwords in addresses.

use serde_json::Value;

/// What is printed in place of a secret.
pub(crate) const MASK: &str = "***";

/// Whether a key of this name holds a secret, as far as its name tells.
pub(crate) fn is_secret(key: &str) -> bool {
    const PARTS: [&str; 8] =
        ["password", "passwd", "passphrase", "secret", "token", "credential", "jwt", "authorization"];
    const WORDS: [&str; 8] = ["pass", "pwd", "auth", "salt", "seed", "pin", "apikey", "hmac"];
    let lower = key.to_lowercase();
    PARTS.iter().any(|part| lower.contains(part))
        || lower.ends_with("key")
        || lower.ends_with("keys")
        || words(key).any(|word| word == "key" || word == "keys" || WORDS.contains(&word.as_str()))
}

/// The words of a name in camel case, or with other separators; in lower case.
fn words(name: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut previous_is_lower = false;
    for character in name.chars() {
        if !character.is_alphanumeric() || (character.is_uppercase() && previous_is_lower) {
            words.push(String::new());
        }
        previous_is_lower = character.is_lowercase() || character.is_numeric();
        if let Some(word) = words.last_mut().filter(|_| character.is_alphanumeric()) {
            word.extend(character.to_lowercase());
        }
    }
    words.into_iter().filter(|word| !word.is_empty())
}

/// The value of `key` without secrets: what stands below a key that looks like one is masked, except
/// `null`, `true` and `false`.
pub(crate) fn masked(key: &str, value: &Value) -> Value {
    mask(is_secret(key), value)
}

fn mask(secret: bool, value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let masked =
                |(key, value): (&String, &Value)| (key.clone(), mask(secret || is_secret(key), value));
            Value::Object(map.iter().map(masked).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| mask(secret, item)).collect()),
        Value::Null | Value::Bool(_) => value.clone(),
        Value::Number(_) | Value::String(_) if secret => Value::String(MASK.to_owned()),
        Value::Number(_) => value.clone(),
        Value::String(text) => Value::String(without_credentials(text)),
    }
}

/// A text without the user and the password of the addresses in it: `redis://***@host`.
pub(crate) fn without_credentials(text: &str) -> String {
    let mut rest = text;
    let mut masked = String::with_capacity(text.len());
    while let Some(scheme) = rest.find("://") {
        let (before, after) = rest.split_at(scheme + 3);
        masked.push_str(before);
        let authority = after.find(['/', '?', '#', ' ', '"', '\n']).unwrap_or(after.len());
        rest = match after[..authority].rfind('@') {
            Some(at) => {
                masked.push_str(MASK);
                &after[at..]
            }
            None => after,
        };
    }
    masked.push_str(rest);
    masked
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_secrets_are_recognised_in_any_writing() {
        for key in [
            "password",
            "dbPassword",
            "PASSWORD_FILE",
            "secret",
            "clientSecret",
            "token",
            "authToken",
            "key",
            "apiKey",
            "API_KEY",
            "privatekey",
            "keys",
            "tlsKeyFile",
            "jwt",
            "kuzzleJWT",
            "basicAuth",
            "user-pwd",
        ] {
            assert!(is_secret(key), "{key}");
        }
        for key in
            ["port", "host", "keyboard", "passive", "author", "cookieAuthentication", "roots", "pinned"]
        {
            assert!(!is_secret(key), "{key}");
        }
    }

    #[test]
    fn everything_below_a_secret_is_masked_and_the_rest_is_kept() {
        let value = json!({
            "jwt": { "secret": "a", "list": ["b", 3, null, true] },
            "port": 7512,
            "nodes": ["redis://user:c@host:1/x?y=a@b", "no://host", "mailto:x@y"],
        });
        assert_eq!(
            masked("security", &value),
            json!({
                "jwt": { "secret": "***", "list": ["***", "***", null, true] },
                "port": 7512,
                "nodes": ["redis://***@host:1/x?y=a@b", "no://host", "mailto:x@y"],
            })
        );
        assert_eq!(masked("password", &json!("d")), json!("***"));
    }
}
