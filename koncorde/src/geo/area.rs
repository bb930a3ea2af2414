//! Areas on the globe, borders included.
//!
//! Source: boost-geospatial-index 1.4.0, src/shape.cc. Distances are those of geodesics on WGS84, and the sides of
//! polygons are geodesics.

use std::sync::LazyLock;

use geographiclib_rs::{Geodesic, InverseGeodesic};

use super::point::Point;
use crate::text;

/// The radius of the sphere by which circles are cut, in metres.
const EARTH_RADIUS: f64 = 6_378_137.0;
/// The flattening of WGS84.
const FLATTENING: f64 = 1.0 / 298.257_223_563;
/// Azimuths that differ by less, in degrees, are the same: the point lies on the line.
const SAME_AZIMUTH: f64 = 1e-10;

static WGS84: LazyLock<Geodesic> = LazyLock::new(Geodesic::wgs84);

/// Part of the globe.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Area {
    Box(Rectangle),
    /// Between two distances from a point, in metres; a circle begins at 0.
    Ring {
        center: Point,
        from: f64,
        to: f64,
    },
    Polygon(Box<Polygon>),
}

/// Between two meridians and two parallels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rectangle {
    pub(crate) south: f64,
    pub(crate) north: f64,
    pub(crate) west: f64,
    /// Not below `west`, so perhaps above 180.
    pub(crate) east: f64,
}

/// A polygon. Of the two parts of the globe it means the one without a pole, or else with the nearer one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Polygon {
    points: Box<[Point]>,
    sides: Box<[Side]>,
    bounds: Rectangle,
    pole: Option<Pole>,
}

/// The geodesic between two points that follow each other.
#[derive(Clone, Debug, PartialEq)]
struct Side {
    from: Point,
    to: Point,
    /// How far east it goes, in degrees.
    eastward: f64,
    /// Where it leads to at its beginning and at its end, in degrees from north.
    azimuth: f64,
    end_azimuth: f64,
}

/// A pole that a polygon contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pole {
    North,
    South,
}

impl Area {
    pub(crate) fn contains(&self, point: Point) -> bool {
        match self {
            Area::Box(rectangle) => rectangle.contains(point),
            Area::Ring { center, from, to } => {
                around(*center, *to).contains(point)
                    && (*from..=*to).contains(&WGS84.inverse(center.lat, center.lon, point.lat, point.lon))
            }
            Area::Polygon(polygon) => polygon.contains(point),
        }
    }

    /// A rectangle that contains the area.
    pub(crate) fn bounds(&self) -> Rectangle {
        match self {
            Area::Box(rectangle) => *rectangle,
            Area::Ring { center, to, .. } => around(*center, *to),
            Area::Polygon(polygon) => polygon.bounds,
        }
    }

    /// The keyword and the value, without the field.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Area::Box(Rectangle { south, north, west, east }) => {
                text::list(out, ['[', ']'], [south, north, west, east], |out, bound| {
                    text::number(out, *bound)
                });
            }
            Area::Ring { center, from, to } => {
                let numbers = [center.lat, center.lon, *from, *to];
                text::list(out, ['[', ']'], numbers, text::number);
            }
            Area::Polygon(polygon) => {
                text::list(out, ['[', ']'], &polygon.points, |out, point| point.write(out));
            }
        }
    }
}

impl Rectangle {
    const GLOBE: Rectangle = Rectangle { south: -90.0, north: 90.0, west: -180.0, east: 180.0 };

    pub(crate) fn contains(&self, point: Point) -> bool {
        self.parts().iter().flatten().any(|part| {
            (part.south..=part.north).contains(&point.lat) && (part.west..=part.east).contains(&point.lon)
        })
    }

    /// The same in one or two parts whose longitudes are between -180 and 180. What touches the antimeridian touches it
    /// from both sides.
    pub(crate) fn parts(self) -> [Option<Rectangle>; 2] {
        let Rectangle { west, east, .. } = self;
        if east - west >= 360.0 {
            [Some(Rectangle { west: -180.0, east: 180.0, ..self }), None]
        } else if east >= 180.0 {
            [
                Some(Rectangle { east: 180.0, ..self }),
                Some(Rectangle { west: -180.0, east: east - 360.0, ..self }),
            ]
        } else if west <= -180.0 {
            [
                Some(Rectangle { west: -180.0, ..self }),
                Some(Rectangle { west: west + 360.0, east: 180.0, ..self }),
            ]
        } else {
            [Some(self), None]
        }
    }
}

/// The rectangle by which Koncorde cuts a circle: a little small for a circle of its size on WGS84.
fn around(center: Point, radius: f64) -> Rectangle {
    let height = (radius / EARTH_RADIUS).to_degrees();
    let width = (radius / (EARTH_RADIUS * center.lat.to_radians().cos())).to_degrees();
    let (south, north) = (center.lat - height, center.lat + height);
    if south <= -90.0 || north >= 90.0 || width >= 180.0 {
        return Rectangle { south: south.max(-90.0), north: north.min(90.0), ..Rectangle::GLOBE };
    }
    Rectangle { south, north, west: center.lon - width, east: center.lon + width }
}

impl Polygon {
    /// At least three points. Where it begins, which way round it goes, and whether the first point is repeated at
    /// the end, do not matter.
    pub(crate) fn new(mut points: Vec<Point>) -> Polygon {
        while points.len() > 1 && points.first() == points.last() {
            points.pop();
        }
        points.dedup();
        let first = (0..points.len()).min_by(|&one, &other| compare(points[one], points[other])).unwrap_or(0);
        points.rotate_left(first);
        if let [_, second, .., last] = points[..]
            && compare(last, second).is_lt()
        {
            points[1..].reverse();
        }
        let next = points.iter().cycle().skip(1);
        let sides: Box<[Side]> = points.iter().zip(next).map(|(from, to)| Side::new(*from, *to)).collect();
        let (bounds, pole) = bounds(&sides);
        Polygon { points: points.into(), sides, bounds, pole }
    }

    /// Counts the sides between the point and the pole that is not in the polygon.
    fn contains(&self, point: Point) -> bool {
        if !self.bounds.contains(point) {
            return false;
        }
        let mut is_inside = false;
        for side in &self.sides {
            match side.position_of(point) {
                Position::On => return true,
                Position::North if self.pole == Some(Pole::North) => is_inside = !is_inside,
                Position::South if self.pole != Some(Pole::North) => is_inside = !is_inside,
                Position::North | Position::South | Position::Beside => {}
            }
        }
        is_inside
    }
}

/// Where a point is, seen from a side of a polygon.
enum Position {
    On,
    /// North of it: the side crosses the point's meridian south of the point.
    North,
    South,
    /// The side does not cross the point's meridian.
    Beside,
}

impl Side {
    fn new(from: Point, to: Point) -> Side {
        let (azimuth, end_azimuth, _): (f64, f64, f64) = WGS84.inverse(from.lat, from.lon, to.lat, to.lon);
        Side { from, to, eastward: turn(to.lon - from.lon), azimuth, end_azimuth }
    }

    fn position_of(&self, point: Point) -> Position {
        if self.from == point || self.to == point {
            return Position::On;
        }
        let start = turn(self.from.lon - point.lon);
        let end = start + self.eastward;
        if start == 0.0 && self.eastward == 0.0 {
            let (south, north) = (self.from.lat.min(self.to.lat), self.from.lat.max(self.to.lat));
            return if (south..=north).contains(&point.lat) { Position::On } else { Position::Beside };
        }
        // Of the two ends only the western one belongs to the side, so that every corner counts once.
        let crosses = (start <= 0.0 && 0.0 < end) || (end <= 0.0 && 0.0 < start);
        if !crosses {
            return Position::Beside;
        }
        let (own, other) = if start == 0.0 {
            (self.from.lat, point.lat)
        } else if end == 0.0 {
            (self.to.lat, point.lat)
        } else {
            let (azimuth, _, _): (f64, f64, f64) =
                WGS84.inverse(self.from.lat, self.from.lon, point.lat, point.lon);
            // The closer to north a direction is, the farther north the place.
            let (side, point) = (self.azimuth.abs(), azimuth.abs());
            if (side - point).abs() <= SAME_AZIMUTH {
                return Position::On;
            }
            (-side, -point)
        };
        if other > own { Position::North } else { Position::South }
    }

    /// The most northern and most southern latitude.
    fn latitudes(&self) -> (f64, f64) {
        let Side { from, to, azimuth, end_azimuth, .. } = self;
        let (mut south, mut north) = (from.lat.min(to.lat), from.lat.max(to.lat));
        let goes_north = |azimuth: f64| azimuth.abs() < 90.0;
        if goes_north(*azimuth) != goes_north(*end_azimuth) {
            // Clairaut: cos(reduced latitude) * sin(azimuth) stays the same, and where it turns the sine is 1.
            let reduced = ((1.0 - FLATTENING) * from.lat.to_radians().tan()).atan();
            let turning = (reduced.cos() * azimuth.to_radians().sin().abs()).clamp(0.0, 1.0).acos();
            let latitude = (turning.tan() / (1.0 - FLATTENING)).atan().to_degrees();
            if goes_north(*azimuth) {
                north = north.max(latitude);
            } else {
                south = south.min(-latitude);
            }
        }
        (south, north)
    }
}

/// What contains all the sides, and the pole that they go round.
fn bounds(sides: &[Side]) -> (Rectangle, Option<Pole>) {
    // A little more than rounding may cost.
    const MARGIN: f64 = 1e-7;
    let start = sides.first().map_or(0.0, |side| side.from.lon);
    let (mut south, mut north, mut west, mut east) = (90.0_f64, -90.0_f64, start, start);
    let mut lon = start;
    for side in sides {
        let (lowest, highest) = side.latitudes();
        south = south.min(lowest);
        north = north.max(highest);
        lon += side.eastward;
        west = west.min(lon);
        east = east.max(lon);
    }
    let pole =
        ((lon - start).abs() > 180.0).then_some(if south + north >= 0.0 { Pole::North } else { Pole::South });
    if pole == Some(Pole::North) {
        north = 90.0;
    }
    if pole == Some(Pole::South) {
        south = -90.0;
    }
    let is_all_around = pole.is_some() || east - west >= 360.0 || sides.iter().any(Side::is_half_turn);
    if is_all_around {
        (west, east) = (-180.0, 180.0);
    } else {
        (west, east) = (west - MARGIN, east + MARGIN);
    }
    (Rectangle { south: south - MARGIN, north: north + MARGIN, west, east }, pole)
}

impl Side {
    /// It runs over a pole.
    fn is_half_turn(&self) -> bool {
        self.eastward.abs() == 180.0
    }
}

/// A difference of longitudes as the shorter way, in degrees between -180 and 180.
fn turn(difference: f64) -> f64 {
    if difference > 180.0 {
        difference - 360.0
    } else if difference <= -180.0 {
        difference + 360.0
    } else {
        difference
    }
}

fn compare(one: Point, other: Point) -> std::cmp::Ordering {
    one.lat.total_cmp(&other.lat).then(one.lon.total_cmp(&other.lon))
}
