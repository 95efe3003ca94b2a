//! What a sample says of the whole, and how surely.

/// Two-sided 95 percent of a normal distribution.
const Z: f64 = 1.96;

/// The share of all items that differ at most, with 95 percent confidence, when so many of those looked at differ: the rule
/// of three where none does, else the upper end of Wilson's interval. 1 when nothing was looked at.
pub fn share_at_most(differing: u64, looked_at: u64) -> f64 {
    if looked_at == 0 {
        return 1.0;
    }
    let n = looked_at as f64;
    if differing == 0 {
        return (3.0 / n).min(1.0);
    }
    let share = differing as f64 / n;
    let centre = share + Z * Z / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((centre + spread) / (1.0 + Z * Z / n)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_tables() {
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 5e-4, "{found} {expected}");
        near(share_at_most(0, 0), 1.0);
        near(share_at_most(0, 2), 1.0);
        near(share_at_most(0, 300), 0.01);
        near(share_at_most(1, 10), 0.4041);
        near(share_at_most(50, 100), 0.5962);
        near(share_at_most(10, 10), 1.0);
    }
}
