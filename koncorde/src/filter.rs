//! Filters: parsed, named by their normal form, and matched one at a time.

use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::canonical;
use crate::document::Document;
use crate::error::Error;
use crate::expression::Expression;
use crate::limits::Limits;
use crate::scope::Scope;
use crate::syntax;
use crate::text;

/// The key of the room id's HMAC, the same in every Kuzzle (Kuzzle: lib/config/index.ts).
const ROOM_ID_KEY: &[u8; 32] = b"^m&mOISKBvb1xpl1mRsrylaQXpjb&IJX";

/// A filter that was accepted, in its normal form. Filters are equal if their normal forms are.
///
/// Cloning it is cheap.
#[derive(Clone)]
pub struct Filter {
    normal_form: Arc<str>,
    expression: Arc<Expression>,
}

impl Filter {
    /// Parses a filter given as JSON text. `{}`, `[]` and `null` let everything through.
    ///
    /// ```
    /// # use koncorde::{Filter, Limits};
    /// let limits = Limits::default();
    /// let one = Filter::parse(r#"{"not":{"or":[{"missing":"city"},{"equals":{"age":7}}]}}"#, &limits)?;
    /// let other = Filter::parse(
    ///     r#"{"bool":{"must_not":[{"equals":{"age":7.0}}],"must":[{"exists":"city"}]}}"#,
    ///     &limits,
    /// )?;
    /// assert_eq!(one, other);
    /// # Ok::<(), koncorde::Error>(())
    /// ```
    ///
    /// # Errors
    /// The text is not a valid filter, or asks for more than the limits allow.
    pub fn parse(json: &str, limits: &Limits) -> Result<Filter, Error> {
        let expression = syntax::parse(json, limits)?;
        let (expression, text) = canonical::normalize(expression, limits.normalization_steps);
        Ok(Filter { normal_form: text.into(), expression: Arc::new(expression) })
    }

    /// The filter that lets everything through.
    #[must_use]
    pub fn everything() -> Filter {
        let (expression, text) = canonical::normalize(Expression::everything(), 0);
        Filter { normal_form: text.into(), expression: Arc::new(expression) }
    }

    /// Whether the document satisfies the filter. To match a document against many filters, use an
    /// [`Index`](crate::Index).
    #[must_use]
    pub fn matches(&self, document: &Document) -> bool {
        self.expression.holds(Scope::Document(document))
    }

    /// The id of the room of this filter in a collection: 64 lowercase hexadecimal digits. Filters that mean the same
    /// by the laws of logic have the same (see the [crate's page](crate#normal-form)), filters that do not mean the
    /// same never. That of the filter that lets everything through is the one that Kuzzle computes.
    ///
    /// It is the HMAC-SHA256 of `{"filter":<normal form>,"index":"<index>/<collection>"}`.
    #[must_use]
    pub fn room_id(&self, index: &str, collection: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(ROOM_ID_KEY).expect("HMAC accepts keys of any length");
        mac.update(br#"{"filter":"#);
        mac.update(self.normal_form.as_bytes());
        mac.update(br#","index":"#);
        let mut place = String::new();
        text::string(&mut place, &[index, "/", collection].concat());
        mac.update(place.as_bytes());
        mac.update(b"}");
        hexadecimal(&mac.finalize().into_bytes())
    }

    pub(crate) fn expression(&self) -> &Arc<Expression> {
        &self.expression
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Filter) -> bool {
        self.normal_form == other.normal_form
    }
}

impl Eq for Filter {}

impl fmt::Debug for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Filter({})", self.normal_form)
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
