//! `multipart/form-data` (RFC 7578): texts as strings, files as `{encoding, file, filename}`, as Kuzzle has them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::query;

/// The most parts that are read.
const MOST: usize = 1000;

/// A file is larger than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileTooLarge;

/// The fields of a body. One that cannot be parsed gives no fields, or those before the fault.
///
/// # Errors
/// A file has more than `max_file` bytes.
pub(crate) fn parse(
    content_type: &str,
    body: &[u8],
    max_file: usize,
) -> Result<Map<String, Value>, FileTooLarge> {
    let mut fields = Map::new();
    // A longer one is none (RFC 2046, 5.1.1), and would take time to look for.
    let is_boundary = |boundary: &String| (1..=70).contains(&boundary.len());
    let Some(boundary) = parameter(content_type, "boundary").filter(is_boundary) else {
        return Ok(fields);
    };
    let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
    // The first delimiter may stand at the very beginning.
    let Some(first) = find(body, &delimiter[2..]) else { return Ok(fields) };
    let mut rest = &body[first + delimiter.len() - 2..];
    for _ in 0..MOST {
        let Some(after) = rest.strip_prefix(b"\r\n") else { break };
        let Some(end) = find(after, &delimiter) else { break };
        let part = &after[..end];
        rest = &after[end + delimiter.len()..];
        let Some(split) = find(part, b"\r\n\r\n") else { continue };
        add(&mut fields, &String::from_utf8_lossy(&part[..split]), &part[split + 4..], max_file)?;
    }
    Ok(fields)
}

fn add(
    fields: &mut Map<String, Value>,
    headers: &str,
    content: &[u8],
    max_file: usize,
) -> Result<(), FileTooLarge> {
    let header = |wanted: &str| {
        headers.split("\r\n").find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let disposition = header("content-disposition").unwrap_or_default();
    let Some(name) = parameter(disposition, "name") else { return Ok(()) };
    let value = match parameter(disposition, "filename") {
        None => Value::from(String::from_utf8_lossy(content)),
        Some(_) if content.len() > max_file => return Err(FileTooLarge),
        Some(filename) => json!({
            "encoding": header("content-type").unwrap_or("application/octet-stream"),
            "file": STANDARD.encode(content),
            "filename": filename,
        }),
    };
    query::add(fields, &name, value);
    Ok(())
}

/// A parameter of a header's value, `…; name=value` or `…; name="value"`.
pub(crate) fn parameter(value: &str, wanted: &str) -> Option<String> {
    let mut rest = value;
    loop {
        let (_, after) = rest.split_once(';')?;
        let (name, after) = after.split_once('=')?;
        let (text, remaining) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(text);
        }
        rest = remaining;
    }
}

/// What stands before the closing quote, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((out, &text[at + 1..])),
            '\\' => out.push(characters.next()?.1),
            other => out.push(other),
        }
    }
    None
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| *byte == first) {
        if bytes[from + at..].starts_with(wanted) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(parts: &[&str]) -> Vec<u8> {
        let mut body: String = parts.iter().map(|part| format!("--B\r\n{part}\r\n")).collect();
        body += "--B--\r\n";
        body.into_bytes()
    }

    fn fields(body: &[u8]) -> Value {
        Value::Object(parse("multipart/form-data; boundary=\"B\"", body, 100).unwrap())
    }

    #[test]
    fn reads_texts_and_files() {
        let body = body(&[
            "Content-Disposition: form-data; name=\"a\"\r\n\r\nhello\r\nthere",
            "content-disposition: form-data; name=f; filename=\"x;\\\".txt\"\r\nContent-Type: text/plain\r\n\r\nhi",
            "Content-Disposition: form-data; name=\"empty\"\r\n\r\n",
        ]);
        assert_eq!(
            fields(&body),
            json!({
                "a": "hello\r\nthere",
                "f": { "encoding": "text/plain", "file": "aGk=", "filename": "x;\".txt" },
                "empty": "",
            })
        );
    }

    #[test]
    fn what_is_no_multipart_has_no_fields() {
        for body in [&b""[..], b"{}", b"--B", b"--B\r\n", b"--B\r\n\r\n--B--", b"--C\r\nx\r\n--C--"] {
            assert_eq!(fields(body), json!({}), "{body:?}");
        }
        assert_eq!(parse("multipart/form-data", b"--B\r\n", 1), Ok(Map::new()));
    }

    #[test]
    fn a_file_has_its_limit() {
        let body = body(&["Content-Disposition: form-data; name=f; filename=x\r\n\r\n12345"]);
        assert_eq!(parse("multipart/form-data; boundary=B", &body, 4), Err(FileTooLarge));
        assert!(parse("multipart/form-data; boundary=B", &body, 5).is_ok());
    }
}
