//! The lines of the access log. What comes from clients can neither break a line nor end a field
//! early, and secrets are left out.

use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Record;
use crate::config::secrets::{MASK, is_secret, masked, without_credentials};
use crate::diagnostics::is_harmful;

/// The longest URL of a line, in bytes.
const LONGEST_URL: usize = 8 << 10;

/// The longest header, label or address of a line, in bytes.
const LONGEST_TEXT: usize = 1 << 10;

/// Requests of which every member is shown, in bytes; of larger ones the larger members are not.
const LARGE: usize = 16 << 10;

/// Members of a request that are no arguments of its action.
const NO_ARGUMENTS: [&str; 9] =
    ["requestId", "jwt", "volatile", "body", "controller", "action", "index", "collection", "_id"];

impl Record {
    /// `IP - USER [DATE] "VERB URL PROTOCOL" STATUS SIZE REFERER AGENT`
    /// (Kuzzle: lib/core/network/accessLogger.js).
    pub(super) fn combined(&self, ip_offset: usize, out: &mut String) {
        let request = self.request();
        push_word(out, self.ip(ip_offset));
        let _ = write!(out, " - {} [{}] \"", self.user(request.as_ref()), apache_date(self.at));
        push_word(out, if self.method.is_empty() { "DO" } else { &self.method });
        out.push(' ');
        push_quoted(out, clip(&self.url(request.as_ref()), LONGEST_URL));
        out.push(' ');
        push_word(out, &self.connection_label().to_uppercase());
        out.push_str("\" ");
        match self.status {
            0 => out.push('-'),
            status => out.push_str(&status.to_string()),
        }
        let _ = write!(out, " {}", self.size);
        for name in ["referer", "user-agent"] {
            match self.header(name) {
                Some(value) => {
                    out.push_str(" \"");
                    push_quoted(out, clip(&without_secrets(value), LONGEST_TEXT));
                    out.push('"');
                }
                None => out.push_str(" -"),
            }
        }
    }

    /// One JSON object: Kuzzle's `logstash` format with the time, the size and the name of the
    /// protocol, and without secrets.
    pub(super) fn json(&self, out: &mut String) {
        let request = self.request();
        let headers: Map<String, Value> = self
            .all_headers()
            .map(|(name, value)| {
                let value = if is_secret_header(name) { MASK.into() } else { without_secrets(value) };
                (name.to_owned(), clip(&value, LONGEST_TEXT).into())
            })
            .collect();
        let id = self.connection.as_ref().map(|connection| connection.uuid.to_string());
        let extra = (!self.url.is_empty() || !self.method.is_empty()).then(
            || json!({ "method": &*self.method, "url": clip(&without_secrets(&self.url), LONGEST_URL) }),
        );
        let error = self.failure.as_ref().and_then(|content| {
            let content: Value = serde_json::from_slice(content.as_bytes()).ok()?;
            Some(masked("", content.get("error")?))
        });
        let line = json!({
            "timestamp": iso_date(self.at),
            "namespace": "kuzzle:accessLogs",
            "nodeId": self.protocol.host.kernel.node_id(),
            "protocol": self.protocol.name,
            "connection": {
                "id": id,
                "protocol": self.connection_label(),
                "ips": self.connection.as_ref().map_or(&[][..], |connection| &connection.ips[..]),
                "headers": headers,
            },
            "user": self.user(request.as_ref()),
            "extra": extra,
            "request": request.map(|request| shown(request, self.document.len())),
            "status": self.status,
            "size": self.size,
            "error": error,
        });
        push_plain_json(out, &line.to_string());
    }

    /// The request's members, whatever they hold: the kernel executes requests with members that it
    /// does not look at, and so must not be hidden by them.
    fn request(&self) -> Option<Map<String, Value>> {
        serde_json::Deserializer::from_slice(&self.document).deserialize_map(Members).ok()
    }

    fn ip(&self, offset: usize) -> &str {
        let ips = self.connection.as_ref().map_or(&[][..], |connection| &connection.ips);
        // The direct peer is the last one; proxies stand before it, the client first.
        ips.get(ips.len().saturating_sub(1).saturating_sub(offset)).map_or("-", |ip| &**ip)
    }

    /// There are no users yet: a request without a token is anonymous, one with a token is refused.
    fn user(&self, request: Option<&Map<String, Value>>) -> &'static str {
        let has_token = |request: &Map<String, Value>| match request.get("jwt") {
            None | Some(Value::Null) => false,
            Some(jwt) => jwt.as_str() != Some(""),
        };
        match request {
            Some(request) if !has_token(request) => "(anonymous)",
            _ => "(unknown)",
        }
    }

    /// What the protocol says, or else something like a URL made of the request's members.
    fn url(&self, request: Option<&Map<String, Value>>) -> String {
        if !self.url.is_empty() {
            return without_secrets(&self.url);
        }
        let Some(request) = request else { return "-".to_owned() };
        let mut url = String::new();
        for name in ["controller", "action", "index", "collection", "_id"] {
            match request.get(name).filter(|value| !is_falsy(value)) {
                Some(value) => push_value(url_part(&mut url, '/'), value),
                None if matches!(name, "controller" | "action") => url.push_str("/-"),
                None => {}
            }
        }
        let arguments = request.iter().filter(|(name, _)| !NO_ARGUMENTS.contains(&name.as_str()));
        for (number, (name, value)) in arguments.enumerate() {
            url_part(&mut url, if number == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            push_value(&mut url, &masked(name, value));
            if url.len() > LONGEST_URL {
                break;
            }
        }
        url
    }

    fn connection_label(&self) -> &str {
        match &self.connection {
            Some(connection) => connection.label(),
            None if self.label.is_empty() => &self.protocol.name,
            None => &self.label,
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.all_headers().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value).filter(|value| !value.is_empty())
    }

    /// The request's headers, then the connection's.
    fn all_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let connection = self.connection.as_ref().map_or(&[][..], |connection| &connection.headers);
        connection.iter().chain(&self.headers).map(|(name, value)| (&**name, &**value))
    }
}

/// Reads an object of which not every member can be read.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Map<String, Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut members = Map::new();
        while let Some((name, value)) = object.next_entry::<&RawValue, &RawValue>()? {
            // Half a surrogate pair, or a number that no computer has.
            let unreadable =
                |_| Value::String(format!("({} bytes that can not be shown)", value.get().len()));
            if let Ok(name) = serde_json::from_str(name.get()) {
                members.insert(name, serde_json::from_str(value.get()).unwrap_or_else(unreadable));
            }
        }
        Ok(members)
    }
}

/// The request as the JSON format shows it.
fn shown(mut request: Map<String, Value>, length: usize) -> Value {
    if length > LARGE {
        for (_, value) in &mut request {
            let length = value.to_string().len();
            if length > LARGE / 16 {
                *value = format!("({length} bytes)").into();
            }
        }
    }
    masked("", &Value::Object(request))
}

fn is_secret_header(name: &str) -> bool {
    is_secret(name) || name.to_ascii_lowercase().contains("cookie")
}

/// A URL without passwords and without the values of parameters that look like secrets.
fn without_secrets(url: &str) -> String {
    let url = without_credentials(url);
    let Some((path, query)) = url.split_once('?') else { return url };
    let parameters: Vec<String> = query
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if is_secret(&percent_decoded(name)) => format!("{name}={MASK}"),
            _ => parameter.to_owned(),
        })
        .collect();
    format!("{path}?{}", parameters.join("&"))
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digit = |place: usize| after.get(place).and_then(|digit| char::from(*digit).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn url_part(url: &mut String, separator: char) -> &mut String {
    url.push(separator);
    url
}

fn push_value(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => out.push_str(text),
        other => out.push_str(&other.to_string()),
    }
}

fn is_falsy(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    }
}

/// Not more than so many bytes of a text.
fn clip(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

/// A field without quotes: nothing in it may look like the end of the field.
fn push_word(out: &mut String, text: &str) {
    let text = clip(text, LONGEST_TEXT);
    if text.is_empty() {
        out.push('-');
    }
    for character in text.chars() {
        if is_harmful(character) || character.is_whitespace() || matches!(character, '"' | '\\') {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
    }
}

/// The inside of a field in quotes.
fn push_quoted(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            _ if is_harmful(character) => out.extend(character.escape_unicode()),
            _ => out.push(character),
        }
    }
}

/// A JSON document; characters that do something to a terminal only stand in its strings, where
/// they can be escaped.
fn push_plain_json(out: &mut String, json: &str) {
    for character in json.chars() {
        if is_harmful(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(character);
        }
    }
}

/// `14/Nov/2023:22:13:20 +0000`
fn apache_date(at: SystemTime) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Date { year, month, day, hour, minute, second, .. } = Date::of(at);
    let month = MONTHS[month as usize - 1];
    format!("{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000")
}

/// `2023-11-14T22:13:20.123Z`
fn iso_date(at: SystemTime) -> String {
    let Date { year, month, day, hour, minute, second, millisecond } = Date::of(at);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}

/// A time in UTC, in the Gregorian calendar.
struct Date {
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
    millisecond: u64,
}

impl Date {
    /// A clock before 1970 reads as 1970.
    fn of(at: SystemTime) -> Self {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs();
        // Days since 0000-03-01: a year that begins in March ends with its leap day.
        let days = seconds / 86_400 + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * from_march + 2) / 5 + 1,
            hour: seconds / 3_600 % 24,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            millisecond: u64::from(since.subsec_millis()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::sync::Arc;
    use std::time::Duration;

    use kuzzle_kernel::Payload;

    use super::*;
    use crate::serving::connections::{Connection, Handle};
    use crate::serving::entry_point::RequestInfo;
    use crate::serving::testing;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(seconds * 1_000 + 123)
    }

    fn request(document: &str) -> RequestInfo<'_> {
        RequestInfo {
            connection: 0,
            document: Cow::Borrowed(document.as_bytes()),
            label: "",
            headers: Vec::new(),
            method: "",
            url: "",
        }
    }

    fn record(connection: Option<Connection>, request: &RequestInfo<'_>) -> Record {
        let protocol = testing::protocol("udp");
        let connection = connection.map(|connection| Arc::new(Connection { protocol, ..connection }));
        let mut record = Record::new(protocol, connection.as_ref(), request);
        (record.at, record.status, record.size) = (at(1_700_000_000), 200, 42);
        record
    }

    fn client(ips: &[&str], headers: &[(&str, &str)]) -> Option<Connection> {
        let protocol = testing::protocol("any");
        Some(Connection {
            ips: ips.iter().map(|ip| Box::from(*ip)).collect(),
            headers: headers.iter().map(|(name, value)| (Box::from(*name), Box::from(*value))).collect(),
            label: Some("WebSocket".into()),
            ..testing::connection(Handle(1), protocol)
        })
    }

    fn combined(record: &Record) -> String {
        let mut line = String::new();
        record.combined(0, &mut line);
        line
    }

    fn json_of(record: &Record) -> Value {
        let mut line = String::new();
        record.json(&mut line);
        assert!(!line.contains(is_harmful), "{line:?}");
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn a_line_is_that_of_kuzzle() {
        let document = r#"{"controller":"realtime","action":"publish","index":"i","collection":"c","_id":"d",
            "body":{"a":1},"scope":"all","options":{"b":[1]},"requestId":"r","volatile":{}}"#;
        let headers = [("User-Agent", "curl/8"), ("referer", "http://x/?a=1")];
        assert_eq!(
            combined(&record(client(&["1.2.3.4", "10.0.0.1"], &headers), &request(document))),
            r#"10.0.0.1 - (anonymous) [14/Nov/2023:22:13:20 +0000] "DO /realtime/publish/i/c/d?scope=all&options={\"b\":[1]} WEBSOCKET" 200 42 "http://x/?a=1" "curl/8""#
        );
        let http = RequestInfo { method: "GET", url: "/_now?x=1", label: "HTTP/1.1", ..request("{}") };
        assert_eq!(
            combined(&record(None, &http)),
            r#"- - (anonymous) [14/Nov/2023:22:13:20 +0000] "GET /_now?x=1 HTTP/1.1" 200 42 - -"#
        );
    }

    #[test]
    fn the_address_is_counted_from_the_last_one() {
        let record = record(client(&["client", "proxy", "peer"], &[]), &request("{}"));
        for (offset, expected) in
            [(0, "peer"), (1, "proxy"), (2, "client"), (3, "client"), (usize::MAX, "client")]
        {
            assert_eq!(record.ip(offset), expected);
        }
    }

    #[test]
    fn what_is_not_known_is_told_so() {
        for (document, expected) in [
            ("", r#"(unknown) [14/Nov/2023:22:13:20 +0000] "DO - UDP""#),
            ("{", r#"(unknown) [14/Nov/2023:22:13:20 +0000] "DO - UDP""#),
            ("[]", r#"(unknown) [14/Nov/2023:22:13:20 +0000] "DO - UDP""#),
            ("{}", r#"(anonymous) [14/Nov/2023:22:13:20 +0000] "DO /-/- UDP""#),
            (r#"{"jwt":"x","controller":"c"}"#, r#"(unknown) [14/Nov/2023:22:13:20 +0000] "DO /c/- UDP""#),
        ] {
            let line = combined(&record(None, &request(document)));
            assert!(line.contains(expected), "{document}: {line}");
        }
        let mut unanswered = record(None, &request("{}"));
        unanswered.status = 0;
        assert!(combined(&unanswered).ends_with("\" - 42 - -"));
    }

    #[test]
    fn hostile_strings_stay_in_their_field() {
        let document =
            json!({ "controller": "a\" 200 1\n1.2.3.4", "action": "\\\"\u{1b}[2J", "x y": "\u{202e}\r" });
        let headers = [("user-agent", "\" \"\n\u{9b}2J"), ("referer", "\\")];
        let document = document.to_string();
        let info = RequestInfo { label: "l \"\n", method: "GET /\n", ..request(&document) };
        let record = record(client(&["1.1.1.1 - x\n"], &headers), &info);
        let line = combined(&record);
        assert!(!line.contains(|character: char| is_harmful(character)), "{line:?}");
        assert_eq!(
            line,
            r#"1.1.1.1\u{20}-\u{20}x\u{a} - (anonymous) [14/Nov/2023:22:13:20 +0000] "GET\u{20}/\u{a} /a\" 200 1\u{a}1.2.3.4/\\\"\u{1b}[2J?x y=\u{202e}\u{d} WEBSOCKET" 200 42 "\\" "\" \"\u{a}\u{9b}2J""#
        );
        assert_eq!(json_of(&record)["request"]["x y"], "\u{202e}\r");
    }

    #[test]
    fn no_request_can_hide_itself() {
        for hiding in [r#""x":1e999"#, r#""x":"\ud800""#, r#""\ud800":1"#, r#""body":{"password":"a\ud800"}"#]
        {
            let document = format!(r#"{{"controller":"server","action":"now",{hiding}}}"#);
            assert!(
                kuzzle_kernel::Request::parse(document.as_bytes()).is_ok(),
                "the kernel would execute it"
            );
            let record = record(None, &request(&document));
            let line = combined(&record);
            assert!(line.contains("(anonymous)") && line.contains("DO /server/now"), "{line}");
            assert_eq!(json_of(&record)["request"]["action"], "now");
        }
    }

    #[test]
    fn secrets_are_in_no_format() {
        let document = json!({
            "controller": "auth", "action": "login", "strategy": "local", "jwt": "SECRET",
            "body": { "username": "u", "password": "SECRET", "deep": [{ "apiKey": "SECRET" }] },
            "token": "SECRET", "url": "http://u:SECRET@h/",
        })
        .to_string();
        let headers = [
            ("Authorization", "Bearer SECRET"),
            ("Cookie", "a=SECRET"),
            ("referer", "http://u:SECRET@x/?jwt=SECRET"),
        ];
        for url in ["", "/_login?jwt=SECRET&a=1&pass%77ord=SECRET"] {
            let info = RequestInfo { url, headers: headers.to_vec(), ..request(&document) };
            let mut record = record(client(&[], &headers), &info);
            record.failure =
                Some(Payload::new(br#"{"error":{"id":"some.error","token":"SECRET"}}"#.to_vec()));
            let line = combined(&record);
            assert!(!line.contains("SECRET"), "{line}");
            let line = json_of(&record);
            assert!(!line.to_string().contains("SECRET"), "{line}");
            assert_eq!(
                (&line["request"]["jwt"], &line["request"]["body"]["username"]),
                (&json!("***"), &json!("u"))
            );
            assert_eq!(line["error"]["id"], "some.error");
        }
    }

    #[test]
    fn the_json_format_has_kuzzles_members() {
        let info = RequestInfo { method: "POST", url: "/_query", ..request(r#"{"controller":"server"}"#) };
        let record = record(client(&["1.2.3.4"], &[("a", "b")]), &info);
        assert_eq!(
            json_of(&record),
            json!({
                "timestamp": "2023-11-14T22:13:20.123Z",
                "namespace": "kuzzle:accessLogs",
                "nodeId": record.protocol.host.kernel.node_id(),
                "protocol": "udp",
                "connection": {
                    "id": "00000000-0000-0000-0000-000000000000", "protocol": "WebSocket",
                    "ips": ["1.2.3.4"], "headers": { "a": "b" },
                },
                "user": "(anonymous)",
                "extra": { "method": "POST", "url": "/_query" },
                "request": { "controller": "server" },
                "status": 200,
                "size": 42,
                "error": null,
            })
        );
    }

    #[test]
    fn a_line_is_never_huge() {
        let huge = "é".repeat(200_000);
        let document =
            json!({ "controller": "c", "action": "a", "x": huge, "body": { "y": huge } }).to_string();
        let info = RequestInfo { headers: vec![("referer", &huge)], method: &huge, ..request(&document) };
        let record = record(None, &info);
        assert!(combined(&record).len() < 16 << 10);
        let line = json_of(&record);
        assert_eq!(line["request"]["x"], "(400002 bytes)");
        assert_eq!(line["request"]["controller"], "c");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.123Z"),
            (951_782_399, "2000-02-28T23:59:59.123Z"),
            (951_782_400, "2000-02-29T00:00:00.123Z"),
            (951_868_800, "2000-03-01T00:00:00.123Z"),
            (1_704_067_199, "2023-12-31T23:59:59.123Z"),
            (4_107_542_400, "2100-03-01T00:00:00.123Z"),
        ] {
            assert_eq!(iso_date(at(seconds)), expected);
        }
        assert_eq!(apache_date(UNIX_EPOCH - Duration::from_secs(1)), "01/Jan/1970:00:00:00 +0000");
    }
}
