//! Which origins browsers may send requests from: `http.accessControlAllowOrigin`.

use regex::Regex;
use serde_json::Value;

use super::layers::{self, Layer, find};
use crate::diagnostics::{Diagnostic, Id};

const KEY: [&str; 2] = ["http", "accessControlAllowOrigin"];

/// The origins that are allowed.
#[derive(Clone, Debug, Default)]
pub enum Origins {
    /// All of them.
    #[default]
    All,
    /// These.
    Some(Vec<String>),
    /// Those in which one of these is found.
    Matching(Vec<Regex>),
}

impl Origins {
    /// Whether this one is allowed.
    pub fn allow(&self, origin: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(origins) => origins.iter().any(|allowed| allowed == origin),
            Self::Matching(patterns) => patterns.iter().any(|pattern| pattern.is_match(origin)),
        }
    }

    /// Reads the key, which holds texts. One that is no regular expression is told, if they have to be.
    pub(super) fn read(root: &Value, layers: &[Layer], are_patterns: bool) -> (Self, Vec<Diagnostic>) {
        let texts: Vec<&str> = match find(root, &KEY) {
            Some(Value::String(text)) => text.split(',').map(str::trim).collect(),
            Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).map(str::trim).collect(),
            _ => return (Self::All, Vec::new()),
        };
        if texts.contains(&"*") {
            return (Self::All, Vec::new());
        }
        if !are_patterns {
            return (Self::Some(texts.into_iter().map(str::to_owned).collect()), Vec::new());
        }
        let (mut patterns, mut wrong) = (Vec::new(), Vec::new());
        for text in texts {
            match Regex::new(text) {
                Ok(pattern) => patterns.push(pattern),
                Err(_) => {
                    let (file, place) = layers::place(layers, &KEY).unwrap_or_default();
                    let message = format!(
                        "The configuration key \"http.accessControlAllowOrigin\" can not be used ({place})."
                    );
                    let help =
                        "Correct the expression, or set \"http.accessControlAllowOriginUseRegExp\" to false.";
                    let diagnostic = Diagnostic::error(Id::ConfigurationInvalidType, file, message, help);
                    wrong.push(diagnostic.expected("regular expressions").found(format!("\"{text}\"")));
                }
            }
        }
        (Self::Matching(patterns), wrong)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn origins(value: &Value, are_patterns: bool) -> (Origins, usize) {
        let root = json!({ "http": { "accessControlAllowOrigin": value } });
        let (origins, wrong) = Origins::read(&root, &[], are_patterns);
        (origins, wrong.len())
    }

    #[test]
    fn origins_are_listed_in_a_text_or_an_array() {
        for value in
            [json!("https://a.example, https://b.example"), json!(["https://a.example", "https://b.example"])]
        {
            let (origins, _) = origins(&value, false);
            assert!(origins.allow("https://b.example") && !origins.allow("https://c.example"), "{value}");
        }
        for value in [json!("*"), json!(["https://a.example", "*"])] {
            assert!(origins(&value, false).0.allow("https://c.example"), "{value}");
        }
    }

    #[test]
    fn origins_can_be_expressions() {
        let (allowed, wrong) = origins(&json!(["^https://[a-z]+\\.example$", "("]), true);
        assert!(allowed.allow("https://a.example") && !allowed.allow("https://a.example.org"));
        assert_eq!(wrong, 1);
    }
}
