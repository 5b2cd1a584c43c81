//! roustabout
pub mod engine;
