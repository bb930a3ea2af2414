//! The form of a filter that keeps its shape: its lists are sorted, nothing is repeated in them, and no list stands in
//! one of its own kind.

use crate::condition::Literal;
use crate::expression::Expression;
use crate::text;

const EVERYTHING: &str = r#"[[{"everything":true}]]"#;
const NOTHING: &str = r#"[[{"nothing":true}]]"#;

/// The form and its text.
pub(super) fn sorted(expression: Expression) -> (Expression, String) {
    let node = Node::new(expression);
    (node.shape.into_expression(), node.text)
}

struct Node {
    text: String,
    shape: Shape,
}

enum Shape {
    Literal(Literal),
    List { is_any: bool, nodes: Vec<Node> },
}

impl Node {
    fn new(expression: Expression) -> Node {
        let (parts, is_any) = match expression {
            Expression::Literal(literal) => {
                let mut text = String::new();
                literal.write(&mut text);
                return Node { text, shape: Shape::Literal(literal) };
            }
            Expression::All(parts) => (parts, false),
            Expression::Any(parts) => (parts, true),
        };
        let mut nodes = Vec::with_capacity(parts.len());
        for node in parts.into_iter().map(Node::new) {
            match node.shape {
                // Without repetitions, a list may be of the other kind than it was.
                Shape::List { is_any: kind, nodes: inner } if kind == is_any => nodes.extend(inner),
                shape => nodes.push(Node { shape, ..node }),
            }
        }
        nodes.sort_by(|one, other| one.text.cmp(&other.text));
        nodes.dedup_by(|one, other| one.text == other.text);
        if nodes.len() == 1 {
            return nodes.remove(0);
        }
        let text = match (nodes.is_empty(), is_any) {
            (true, true) => NOTHING.to_owned(),
            (true, false) => EVERYTHING.to_owned(),
            (false, _) => {
                let mut text = String::from(if is_any { "{\"or\":" } else { "{\"and\":" });
                text::list(&mut text, ['[', ']'], &nodes, |out, node| out.push_str(&node.text));
                text.push('}');
                text
            }
        };
        Node { text, shape: Shape::List { is_any, nodes } }
    }
}

impl Shape {
    fn into_expression(self) -> Expression {
        match self {
            Shape::Literal(literal) => Expression::Literal(literal),
            Shape::List { is_any, nodes } => {
                let parts = nodes.into_iter().map(|node| node.shape.into_expression()).collect();
                if is_any { Expression::any(parts) } else { Expression::all(parts) }
            }
        }
    }
}
