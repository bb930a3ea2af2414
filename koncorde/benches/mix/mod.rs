//! Filters and documents of several kinds, as texts.

/// Kinds of filters, each with documents that fit it.
pub(crate) const MIXES: [&str; 5] = ["mixed", "equals", "ranges", "places", "expressions"];

/// A generator of numbers: SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn fraction(&mut self, bound: u64) -> f64 {
        self.below(bound * 1000) as f64 / 1000.0
    }
}

/// One of the filters of a mix. They are all different.
pub(crate) fn filter(mix: &str, number: usize) -> String {
    let random = &mut Random(number as u64);
    let kind = match mix {
        "equals" => 0,
        "ranges" => 60,
        "places" => 80,
        "expressions" => 90,
        _ => random.below(100),
    };
    let status = ["waiting", "riding", "done", "lost", "new"][number % 5];
    match kind {
        0..40 => format!(r#"{{"equals":{{"driver.id":"driver-{number}"}}}}"#),
        40..60 => format!(
            r#"{{"and":[{{"equals":{{"status":"{status}"}}}},{{"equals":{{"customer":"customer-{number}"}}}}]}}"#
        ),
        60..75 => {
            let low = random.fraction(100_000);
            let high = low + 0.5 + random.fraction(1);
            let range = format!(r#"{{"range":{{"price":{{"gte":{low},"lt":{high}}}}}}}"#);
            match mix {
                "ranges" => range,
                _ => format!(r#"{{"and":[{range},{{"equals":{{"status":"{status}"}}}}]}}"#),
            }
        }
        75..85 => {
            let (lat, lon) = (random.fraction(120) - 60.0, random.fraction(360) - 180.0);
            format!(
                r#"{{"geoDistance":{{"position":{{"lat":{lat:.3},"lon":{lon:.3}}},"distance":"{}m"}}}}"#,
                500 + number % 500
            )
        }
        85..90 => format!(r#"{{"in":{{"tag":["tag-{number}","label-{number}","mark-{number}"]}}}}"#),
        90..95 => format!(r#"{{"regexp":{{"note":"^note-{number}-.*urgent"}}}}"#),
        _ => format!(
            r#"{{"bool":{{"must":[{{"exists":"driver.id"}},{{"equals":{{"zone":"zone-{number}"}}}}],"must_not":[{{"equals":{{"status":"done"}}}}]}}}}"#
        ),
    }
}

/// A document like those that the filters are about. Of filters below the number it may satisfy some.
#[allow(dead_code, reason = "not every benchmark uses it")]
pub(crate) fn document(number: usize, filters: usize) -> String {
    let random = &mut Random(number as u64 ^ 0xdead_beef);
    let mut some = || random.below(filters as u64 * 2);
    let (driver, customer, tag, note, zone) = (some(), some(), some(), some(), some());
    let status = ["waiting", "riding", "done", "lost", "new"][number % 5];
    let price = random.fraction(100_000);
    let (lat, lon) = (random.fraction(120) - 60.0, random.fraction(360) - 180.0);
    format!(
        r#"{{"driver":{{"id":"driver-{driver}","name":"Grace","licences":["B","C1"]}},"status":"{status}","customer":"customer-{customer}","price":{price},"position":{{"lat":{lat},"lon":{lon}}},"tag":"label-{tag}","note":"note-{note}-late, urgent","zone":"zone-{zone}","passengers":3}}"#
    )
}

/// A document of the same shape that satisfies no filter of any mix.
#[allow(dead_code, reason = "not every benchmark uses it")]
pub(crate) fn stranger() -> String {
    r#"{"driver":{"id":"nobody","name":"Grace","licences":["B","C1"]},"status":"gone","customer":"nobody","price":-1.5,"position":{"lat":85.5,"lon":0},"tag":"none","note":"a remark that is of no use to anybody","zone":"nowhere","passengers":3}"#.to_owned()
}
