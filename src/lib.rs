//! roustabout
