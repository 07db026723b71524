//! The logarithm to base two in units of 1/256, in integers only: nodes that compare what they compute must agree.
//!
//! Between powers of two it is a straight line, so that it is at most 0.0861 (6 %) too small, and the same everywhere.

/// One whole step: a doubling.
pub(super) const ONE: u32 = 256;

/// 256 times the logarithm of `value`; 0 for 0 and 1, at most 16,383.
pub(super) const fn log2(value: u64) -> u32 {
    let Some(power) = value.checked_ilog2() else { return 0 };
    // The leading one is bit 63, so its neighbours are the eight bits behind it.
    let aligned = value << (63 - power);
    let behind = (aligned >> 55) & 0xFF;
    // Eight bits.
    power * ONE + behind as u32
}

/// The number whose [`log2`] this is, without its fraction; the largest for all beyond.
pub(super) const fn exp2(log: u32) -> u64 {
    let (power, behind) = (log / ONE, log % ONE);
    if power > 63 {
        return u64::MAX;
    }
    let aligned = (1 << 63) | ((behind as u64) << 55);
    aligned >> (63 - power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logarithm_is_a_line_between_powers_of_two() {
        assert_eq!([0, 1, 2, 3, 4, 6, 8].map(log2), [0, 0, 256, 384, 512, 640, 768]);
        assert_eq!((log2(u64::MAX), log2(1 << 63)), (16_383, 16_128));
        assert_eq!([0, 256, 384, 768, 16_128].map(exp2), [1, 2, 3, 8, 1 << 63]);
        assert_eq!((exp2(16_384), exp2(u32::MAX)), (u64::MAX, u64::MAX));
    }

    #[test]
    fn a_logarithm_never_falls_and_comes_back() {
        let mut before = 0;
        for value in (0..16_000_u64).chain((14..64).map(|power| 1 << power)) {
            assert!(log2(value) >= before, "{value}");
            before = log2(value);
            let back = exp2(before);
            assert!(back <= value.max(1) && value - back.min(value) <= value / 256, "{value}: {back}");
        }
    }
}
