//! What holds for whatever stands in a filter or a document: the fuzz targets and the replay of their corpus.

use koncorde::{Document, Filter, Index, Limits};

/// A filter is refused, or has one room whatever is written around it.
pub(crate) fn filter(text: &str) {
    let limits = Limits::default();
    let Ok(filter) = Filter::parse(text, &limits) else { return };
    let room = filter.room_id("i", "c");
    assert!(
        room.len() == 64 && room.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    );
    // The same must not be past a limit of depth or of conditions.
    let limits = Limits { conditions: 0, depth: limits.depth + 4, ..limits };
    if text.trim_start().starts_with('{') && filter != Filter::everything() {
        for other in [
            format!(r#"{{"not":{{"not":{text}}}}}"#),
            format!(r#"{{"bool":{{"must":[{text},{text}]}}}}"#),
            format!(r#"{{"or":[{{"nothing":0}},{text}]}}"#),
        ] {
            assert_eq!(Filter::parse(&other, &limits).as_ref(), Ok(&filter));
        }
    }
    let document = Document::parse(r#"{"a":{"b":[1,"x",null]},"p":[1,2],"s":"abc"}"#, Some("1")).unwrap();
    let _ = filter.matches(&document);
}

/// The first line is a document, every other one a filter. The index, the normal form and the filter as it is written
/// agree on what matches.
pub(crate) fn matching(text: &str) {
    let mut lines = text.split('\n');
    let Some(Ok(document)) = lines.next().map(|line| Document::parse(line, None)) else { return };
    let limits = Limits { conditions: 0, normalization_steps: 20_000, ..Limits::default() };
    let as_written = Limits { normalization_steps: 0, ..limits.clone() };
    let mut index = Index::new();
    let mut wanted = Vec::new();
    let mut accepted = 0;
    for (id, line) in lines.enumerate() {
        let Ok(filter) = Filter::parse(line, &limits) else { continue };
        accepted += 1;
        let literal = Filter::parse(line, &as_written).unwrap();
        assert_eq!(literal.matches(&document), filter.matches(&document), "{line}");
        index.insert(id, if id % 2 == 0 { &filter } else { &literal });
        if filter.matches(&document) {
            wanted.push(id);
        }
    }
    assert_eq!(index.len(), accepted);
    let mut found = Vec::new();
    index.matches(&document, &mut found);
    found.sort_unstable();
    assert_eq!(found, wanted);
    for id in found {
        assert!(index.remove(&id));
    }
    index.for_each_match(&document, |id| panic!("{id} was removed"));
}
