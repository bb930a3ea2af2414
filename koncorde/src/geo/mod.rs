//! Places: points, distances and areas on the WGS84 ellipsoid.

pub(crate) mod area;
pub(crate) mod distance;
pub(crate) mod point;
