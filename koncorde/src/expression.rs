//! Conditions joined by and and or. Negation stands only at the conditions.

use crate::condition::Literal;
use crate::scope::Scope;

/// When a document is to match.
#[derive(Clone, Debug)]
pub(crate) enum Expression {
    Literal(Literal),
    /// Everything, if it is empty.
    All(Box<[Expression]>),
    /// Nothing, if it is empty.
    Any(Box<[Expression]>),
}

impl Expression {
    pub(crate) fn everything() -> Expression {
        Expression::All([].into())
    }

    pub(crate) fn nothing() -> Expression {
        Expression::Any([].into())
    }

    pub(crate) fn holds(&self, scope: Scope<'_>) -> bool {
        match self {
            Expression::Literal(literal) => literal.holds(scope),
            Expression::All(parts) => parts.iter().all(|part| part.holds(scope)),
            Expression::Any(parts) => parts.iter().any(|part| part.holds(scope)),
        }
    }

    /// All of them, in as few words as that takes.
    pub(crate) fn all(parts: Vec<Expression>) -> Expression {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Expression::Any(alternatives) if alternatives.is_empty() => return Expression::nothing(),
                Expression::All(parts) => flat.extend(parts),
                part => flat.push(part),
            }
        }
        if flat.len() == 1 { flat.remove(0) } else { Expression::All(flat.into()) }
    }

    /// One of them, in as few words as that takes.
    pub(crate) fn any(parts: Vec<Expression>) -> Expression {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Expression::All(parts) if parts.is_empty() => return Expression::everything(),
                Expression::Any(parts) => flat.extend(parts),
                part => flat.push(part),
            }
        }
        if flat.len() == 1 { flat.remove(0) } else { Expression::Any(flat.into()) }
    }
}
