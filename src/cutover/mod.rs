//! Bringing customers back.
