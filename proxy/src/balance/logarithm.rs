//! The logarithm that turns an even hash into a weighted one, in fixed point.

/// `-log2(1 - hash / 2^64)` in units of 2^-64: 0 for 0, and 64 * 2^64 for the largest hash.
///
/// Never below the true value, and at most 2^-62 above it. It never falls as `hash` grows, though two neighbours may
/// have the same. One bit a squaring (Knuth, *The Art of Computer Programming*, 1.2.2, exercise 25): slower than a
/// table, but short enough to be right for good, and it is asked only of the few that [`largest_hash_within`] lets pass.
pub(super) fn negative_log2(hash: u64) -> u128 {
    if hash == 0 {
        return 0;
    }
    // 2^64 - hash = mantissa / 2^63 * 2^exponent, with the mantissa in [2^63, 2^64).
    let remainder = hash.wrapping_neg();
    let exponent = remainder.ilog2();
    let mut mantissa = remainder << remainder.leading_zeros();
    let mut fraction = 0;
    for _ in 0..u64::BITS {
        let square = u128::from(mantissa) * u128::from(mantissa);
        let bit = square >> 127;
        fraction = (fraction << 1) | bit;
        mantissa = low_half(square >> (63 + bit));
    }
    (64 << 64) - (u128::from(exponent) << 64) - fraction
}

/// No hash above this one has a [`negative_log2`] of at most `logarithm`: it is `45 / 64 * logarithm`, rounded up, and
/// `-log2(1 - x)` is at least `x / ln 2`, of which 45 / 64 is a little more than the inverse. Costs next to nothing.
pub(super) fn largest_hash_within(logarithm: u128) -> u64 {
    u64::try_from(((logarithm * 45) >> 6) + 1).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "the value fits: a square of [1, 2), halved if it passed 2")]
fn low_half(value: u128) -> u64 {
    value as u64
}
