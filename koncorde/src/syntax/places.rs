//! The keywords about places.

use super::{Parser, shape};
use crate::condition::Condition;
use crate::error::{Error, Reason};
use crate::expression::Expression;
use crate::geo::area::{Area, Polygon, Rectangle};
use crate::geo::distance;
use crate::geo::point::{self, Point, PointError};
use crate::json::{Form, Value};
use crate::path::Path;

impl Parser<'_> {
    /// `{top, left, bottom, right}`, or the points `topLeft` and `bottomRight`. A box whose left is east of its right
    /// goes over the antimeridian.
    pub(super) fn geo_bounding_box(
        &mut self,
        value: Value<'_>,
        is_negated: bool,
    ) -> Result<Expression, Error> {
        let (field, corners) = self.single(value)?;
        let area = self.at(field, |parser| {
            let [top, left, bottom, right] = parser.bounds_of_box(corners)?;
            let (Ok(top_left), Ok(bottom_right)) = (Point::new(top, left), Point::new(bottom, right)) else {
                return Err(parser.invalid(Reason::OffTheGlobe));
            };
            let (south, north) = (bottom_right.lat, top_left.lat);
            let (west, mut east) = (top_left.lon, bottom_right.lon);
            if right - left >= 360.0 {
                return Ok(Area::Box(Rectangle { south, north, west: -180.0, east: 180.0 }));
            }
            if east < west {
                east += 360.0;
            }
            if north <= south || east <= west {
                return Err(parser.invalid(Reason::InvertedGeoBox));
            }
            Ok(Area::Box(Rectangle { south, north, west, east }))
        })?;
        Ok(self.within(field, area, is_negated))
    }

    /// Top, left, bottom, right.
    fn bounds_of_box(&mut self, corners: Value<'_>) -> Result<[f64; 4], Error> {
        let bounds = ["top", "left", "bottom", "right"].map(|name| {
            corners.member(name).filter(|value| matches!(value.form(), Form::Number(_) | Form::String(_)))
        });
        if let [Some(top), Some(left), Some(bottom), Some(right)] = bounds {
            let numbers = [top, left, bottom, right].map(point::coordinate);
            let [Some(top), Some(left), Some(bottom), Some(right)] = numbers else {
                return Err(self.invalid(Reason::GeoBox(shape::json_of(corners, in_camel_case))));
            };
            return Ok([top, left, bottom, right]);
        }
        let corner = |name: &str| {
            corners
                .members()
                .filter(|(key, _)| in_camel_case(key) == name)
                .last()
                .map(|(_, value)| Point::from_value(value))
        };
        match (corner("topLeft"), corner("bottomRight")) {
            (Some(Ok(top_left)), Some(Ok(bottom_right))) => {
                Ok([top_left.lat, top_left.lon, bottom_right.lat, bottom_right.lon])
            }
            (Some(Err(PointError::OffTheGlobe)), _) | (_, Some(Err(PointError::OffTheGlobe))) => {
                Err(self.invalid(Reason::OffTheGlobe))
            }
            _ => Err(self.invalid(Reason::GeoBoxFormat)),
        }
    }

    /// `{field: point, distance}`.
    pub(super) fn geo_distance(&mut self, value: Value<'_>, is_negated: bool) -> Result<Expression, Error> {
        self.object_of(value, 2)?;
        let distance = self.required(value, "distance")?;
        let distance = self.at("distance", |parser| parser.non_empty_string(Some(distance)))?;
        let (field, center) = self.field(value, &["distance"])?;
        let to = distance::parse(distance).ok_or_else(|| Error::Distance(distance.to_owned()))?;
        Ok(self.within(field, Area::Ring { center, from: 0.0, to }, is_negated))
    }

    /// `{field: point, from, to}`.
    pub(super) fn geo_distance_range(
        &mut self,
        value: Value<'_>,
        is_negated: bool,
    ) -> Result<Expression, Error> {
        self.object_of(value, 3)?;
        let bounds = [("from", self.required(value, "from")?), ("to", self.required(value, "to")?)];
        let mut metres = [0.0; 2];
        for ((name, bound), metres) in bounds.into_iter().zip(&mut metres) {
            let text = self.at(name, |parser| parser.non_empty_string(Some(bound)))?;
            *metres = distance::parse(text).ok_or_else(|| Error::Distance(text.to_owned()))?;
        }
        let [from, to] = metres;
        if from >= to {
            return Err(self.invalid(Reason::InvertedRing));
        }
        let (field, center) = self.field(value, &["from", "to"])?;
        Ok(self.within(field, Area::Ring { center, from, to }, is_negated))
    }

    /// `{field: {points: [point, ...]}}`.
    pub(super) fn geo_polygon(&mut self, value: Value<'_>, is_negated: bool) -> Result<Expression, Error> {
        let (field, value) = self.single(value)?;
        let points = self.at(field, |parser| {
            parser.object_of(value, 1)?;
            let list = parser.required(value, "points")?;
            parser.at("points", |parser| {
                if !list.is_array() {
                    return Err(parser.invalid(Reason::NotAnArray));
                }
                if list.elements().count() < 3 {
                    return Err(parser.invalid(Reason::TooFewPoints));
                }
                let point = |value| {
                    Point::from_value(value).map_err(|error| {
                        parser.invalid(match error {
                            PointError::Format => Reason::PolygonPoint(shape::json_of(value, |name| name)),
                            PointError::OffTheGlobe => Reason::OffTheGlobe,
                        })
                    })
                };
                list.elements().map(point).collect::<Result<Vec<Point>, Error>>()
            })
        })?;
        Ok(self.within(field, Area::Polygon(Box::new(Polygon::new(points))), is_negated))
    }

    /// The member that has none of the names: a field and a point.
    fn field<'v>(&mut self, value: Value<'v>, names: &[&str]) -> Result<(&'v str, Point), Error> {
        let member = value.members().find(|(name, _)| !names.contains(name));
        let (field, value) = member.ok_or_else(|| self.invalid(Reason::EmptyObject))?;
        let point = self.at(field, |parser| {
            Point::from_value(value).map_err(|error| {
                parser.invalid(match error {
                    PointError::Format => Reason::GeoPoint,
                    PointError::OffTheGlobe => Reason::OffTheGlobe,
                })
            })
        })?;
        Ok((field, point))
    }

    fn within(&mut self, field: &str, area: Area, is_negated: bool) -> Expression {
        self.literal(Condition::Within(Path::new(field), area), is_negated)
    }
}

/// The spelling of names of which there are two.
fn in_camel_case(name: &str) -> &str {
    match name {
        "lat_lon" => "latLon",
        "top_left" => "topLeft",
        "bottom_right" => "bottomRight",
        name => name,
    }
}
