//! Random filters, documents and ways to say the same, from a seed.

use serde_json::{Map, Value, json};

/// A generator of numbers: SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below the bound.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (1..list.len()).rev() {
            list.swap(end, self.below(end + 1));
        }
    }

    fn field(&mut self) -> &'static str {
        self.pick(&["a", "b", "a.b", "c", "t", "p", "", "_id"])
    }

    fn scalar(&mut self) -> Value {
        self.pick(&[
            json!(null),
            json!(true),
            json!(false),
            json!(0),
            json!(1),
            json!(2),
            json!(-1.5),
            json!(1e21),
            json!("x"),
            json!("y"),
            json!(""),
            json!("abc"),
            json!("1"),
        ])
    }

    fn point(&mut self) -> Value {
        self.pick(&[
            json!({ "lat": 1, "lon": 2 }),
            json!([1, 2]),
            json!("1,2"),
            json!([50.5, 3]),
            json!([0, 179.99]),
            json!([0, -179.99]),
            json!("s0000"),
            json!({ "latLon": [10, 10] }),
            json!({ "lat_lon": { "lat": "-20", "lon": "30" } }),
        ])
    }

    /// A filter, with so many operators in each other at most.
    pub(crate) fn filter(&mut self, depth: usize) -> Value {
        if depth == 0 || self.one_in(4) {
            return self.condition(depth);
        }
        match self.below(4) {
            0 => json!({ "and": self.list(depth) }),
            1 => json!({ "or": self.list(depth) }),
            2 => json!({ "not": self.filter(depth - 1) }),
            _ => {
                let mut parts = Map::new();
                for _ in 0..=self.below(2) {
                    let name = self.pick(&["must", "must_not", "should", "should_not"]);
                    parts.insert(name.to_owned(), self.list(depth));
                }
                json!({ "bool": parts })
            }
        }
    }

    fn list(&mut self, depth: usize) -> Value {
        (0..=self.below(3)).map(|_| self.filter(depth - 1)).collect()
    }

    pub(crate) fn condition(&mut self, depth: usize) -> Value {
        let field = self.field();
        match self.below(16) {
            0..=3 => json!({ "equals": { field: self.scalar() } }),
            4 => {
                let values: Vec<_> = (0..=self.below(3)).map(|_| self.pick(&["x", "y", "abc"])).collect();
                json!({ "in": { field: values } })
            }
            5 => json!({ "ids": { "values": [self.pick(&["1", "x"])] } }),
            6 if field.is_empty() => json!({ "exists": "b" }),
            6 => json!({ self.pick(&["exists", "missing"]): field }),
            7 if field.is_empty() => json!({ "missing": { "field": "t[\"x\"]" } }),
            7 => json!({ self.pick(&["exists", "missing"]): format!("{field}[{}]", self.scalar()) }),
            8 | 9 => {
                let (low, high) = self.pick(&[(0.0, 1.0), (-2.0, 1.5), (1.0, 2.0), (1.5, 1e22)]);
                let lower = self.pick(&["gt", "gte"]);
                let upper = self.pick(&["lt", "lte"]);
                match self.below(3) {
                    0 => json!({ "range": { field: { lower: low } } }),
                    1 => json!({ "range": { field: { upper: high } } }),
                    _ => json!({ "range": { field: { upper: high, lower: low } } }),
                }
            }
            10 => {
                let expression = self.pick(&["^a", "b", "^1", "", "abc|xyz", "x?", "[0-9]+", "^abc$"]);
                match self.below(2) {
                    0 => json!({ "regexp": { field: expression } }),
                    _ => {
                        json!({ "regexp": { field: { "value": expression, "flags": self.pick(&["i", "m", "g"]) } } })
                    }
                }
            }
            11 => {
                let wanted = self.value(2);
                json!({ "match": { self.pick(&["a", "t", "a.b", ""]): wanted } })
            }
            12 if depth > 0 => {
                let query = match self.below(2) {
                    0 => json!({ "equals": { self.pick(&["value", "value.b"]): self.scalar() } }),
                    _ => self.filter(depth - 1),
                };
                json!({ "select": { "field": self.pick(&["t", "a"]), "index": self.pick(&[0, 1, -1, 7]), "query": query } })
            }
            13 => {
                let bounds = [[60, 0, 0, 20], [2, -5, -2, 5], [10, 170, -10, -170]];
                let [top, left, bottom, right] = self.pick(&bounds);
                json!({ "geoBoundingBox": { "p": { "top": top, "left": left, "bottom": bottom, "right": right } } })
            }
            14 => match self.below(2) {
                0 => {
                    json!({ "geoDistance": { "p": self.point(), "distance": self.pick(&["1km", "200km"]) } })
                }
                _ => json!({ "geoDistanceRange": { "p": self.point(), "from": "10km", "to": "2000 km" } }),
            },
            15 => {
                json!({ "geoPolygon": { "p": { "points": [self.point(), [-5, -5], [30, 10], [20, -10]] } } })
            }
            _ => json!({ "nothing": true }),
        }
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.below(5) {
            0 if depth > 0 => (0..self.below(3)).map(|_| self.value(depth - 1)).collect(),
            1 if depth > 0 => {
                let keys = ["b", "c", "b.c", ""];
                let mut members = Map::new();
                for _ in 0..self.below(3) {
                    members.insert(self.pick(&keys).to_owned(), self.value(depth - 1));
                }
                Value::Object(members)
            }
            _ => self.scalar(),
        }
    }

    /// A document, also with numbers under regular expressions, and values that are no points.
    pub(crate) fn document(&mut self) -> Value {
        let mut members = Map::new();
        for field in ["a", "b", "a.b", "c", "t", "p", "", "_id", "b.c"] {
            if self.one_in(3) {
                continue;
            }
            let value = match field {
                "p" if !self.one_in(4) => self.point(),
                "p" => self.pick(&[json!("s0"), json!([91, 0]), json!(5), json!(null), json!(""), json!([])]),
                "t" if !self.one_in(4) => (0..self.below(4)).map(|_| self.value(1)).collect(),
                "a.b" if self.one_in(2) => continue,
                _ => self.value(2),
            };
            members.insert(field.to_owned(), value);
        }
        Value::Object(members)
    }

    /// The same filter in other words.
    pub(crate) fn rewritten(&mut self, filter: &Value) -> Value {
        let mut filter = self.rewritten_inside(filter);
        for _ in 0..self.below(3) {
            filter = match self.below(8) {
                0 => json!({ "not": { "not": filter } }),
                1 => json!({ "and": [filter] }),
                2 => json!({ "or": [filter.clone(), filter] }),
                3 => json!({ "bool": { "must": [filter.clone(), filter] } }),
                4 => json!({ "not": { "bool": { "must_not": [filter] } } }),
                5 => {
                    // Absorption.
                    let other = self.condition(0);
                    json!({ "or": [{ "and": [other, filter] }, filter] })
                }
                6 => {
                    // One of a condition and its opposite holds.
                    let other = json!({ "equals": { self.pick(&["c", "z"]): self.scalar() } });
                    json!({ "or": [{ "and": [filter, other] }, { "and": [{ "not": other }, filter] }] })
                }
                _ => {
                    // What cannot be.
                    let never = self.pick(&[
                        json!({ "and": [{ "equals": { "c": 1 } }, { "equals": { "c": 2 } }] }),
                        json!({ "and": [{ "missing": "c" }, { "equals": { "c": "x" } }] }),
                        json!({ "and": [{ "range": { "c": { "gt": 5 } } }, { "equals": { "c": 5 } }] }),
                        json!({ "and": [{ "exists": "c" }, { "missing": "c" }] }),
                        json!({ "nothing": 1 }),
                    ]);
                    json!({ "or": [never, filter] })
                }
            };
        }
        filter
    }

    fn rewritten_inside(&mut self, filter: &Value) -> Value {
        let (keyword, value) = filter.as_object().unwrap().iter().next().unwrap();
        let list = |random: &mut Random| -> Vec<Value> {
            let mut list: Vec<Value> =
                value.as_array().unwrap().iter().map(|part| random.rewritten(part)).collect();
            if random.one_in(3) {
                list.push(random.pick(&list));
            }
            random.shuffle(&mut list);
            list
        };
        match keyword.as_str() {
            "and" => {
                let parts = list(self);
                match self.below(3) {
                    0 => json!({ "and": parts }),
                    1 => json!({ "bool": { "must": parts } }),
                    _ => {
                        let parts: Vec<Value> = parts.iter().map(|part| json!({ "not": part })).collect();
                        json!({ "not": { "or": parts } })
                    }
                }
            }
            "or" => {
                let parts = list(self);
                match self.below(3) {
                    0 => json!({ "or": parts }),
                    1 => json!({ "bool": { "should": parts } }),
                    _ => {
                        let parts: Vec<Value> = parts.iter().map(|part| json!({ "not": part })).collect();
                        json!({ "not": { "and": parts } })
                    }
                }
            }
            "not" => json!({ "not": self.rewritten(value) }),
            "missing" => json!({ "not": { "exists": value } }),
            "in" => {
                let (field, values) = value.as_object().unwrap().iter().next().unwrap();
                let parts: Vec<Value> = values
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|value| json!({ "equals": { field: value } }))
                    .collect();
                json!({ "or": parts })
            }
            _ => filter.clone(),
        }
    }
}
