//! How long machines stay and stay away: draws from distributions, by tables of integers.

use std::time::Duration;

use crate::draw::Draws;

/// A distribution of lengths of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lasting {
    /// Always so long.
    Always(Duration),
    /// So long in the mean, whatever has passed already.
    Exponential(Duration),
    /// Many short ones and a few very long ones: Weibull of shape 0.59 and this scale, which 63 % fall short of. The mean is
    /// 1.54 times as long.
    Weibull(Duration),
}

impl Lasting {
    /// The sessions of people in a public network: Weibull with a scale of 42 minutes (Stutzbach and Rejaie, "Understanding
    /// churn in peer-to-peer networks", 2006, upper end of what they measured).
    pub const SESSIONS: Self = Self::Weibull(Duration::from_secs(42 * 60));

    /// One length; none is longer than 191 times the scale, or 22 times the mean.
    pub fn draw(self, draws: &mut Draws) -> Duration {
        let (length, share) = match self {
            Self::Always(length) => return length,
            Self::Exponential(mean) => (mean, quantile(draws.u64(), exponential)),
            Self::Weibull(scale) => (scale, quantile(draws.u64(), weibull)),
        };
        let micros = u128::from(u64::try_from(length.as_micros()).unwrap_or(u64::MAX)) * u128::from(share) / 1_000_000;
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

/// Halvings of the share that lasts longer; what comes after the last is cut off: one draw in four thousand millions.
const HALVINGS: u32 = 32;
/// Steps in each.
const STEPS: u32 = 8;

/// The length, in millionths of the scale, that a share `survivors` / 2⁶⁴ lasts longer than: straight lines between values
/// at shares of 2^-h · (16 - step) / 16.
fn quantile(survivors: u64, value: fn(u32) -> u64) -> u64 {
    let survivors = survivors.max(1 << HALVINGS);
    let halvings = survivors.leading_zeros();
    // How far below 2^-halvings, in sixteenths of it and 2⁻³² parts of those.
    let below = !(survivors << halvings) >> 28;
    let (step, part) = ((below >> 32) as u32, below & 0xFFFF_FFFF);
    let (low, high) = (value(halvings * STEPS + step), value(halvings * STEPS + step + 1));
    low + (((high - low) * part) >> 32)
}

fn exponential(index: u32) -> u64 {
    /// -ln((16 - step) / 16); the last is ln 2.
    const LOGARITHMS: [u64; 9] = [0, 64_539, 133_531, 207_639, 287_682, 374_693, 470_004, 575_364, 693_147];
    let (halvings, step) = (index / STEPS, index % STEPS);
    u64::from(halvings) * LOGARITHMS[8] + LOGARITHMS[step as usize]
}

fn weibull(index: u32) -> u64 {
    u64::from(WEIBULL[index as usize])
}

/// (-ln share)^(1 / 0.59) in millionths.
#[rustfmt::skip]
const WEIBULL: [u32; 257] = [
    0, 9_610, 32_956, 69_646, 121_033, 189_416, 278_125, 391_853, 537_295, 624_805, 724_257, 837_699, 967_724, 1_117_676, 1_291_955,
    1_496_495, 1_739_534, 1_879_004, 2_032_942, 2_203_789, 2_394_618, 2_609_373, 2_853_219, 3_133_083, 3_458_539, 3_642_429, 3_843_309,
    4_063_982, 4_307_971, 4_579_782, 4_885_297, 5_232_383, 5_631_879, 5_855_867, 6_099_261, 6_365_210, 6_657_663, 6_981_661, 7_343_773,
    7_752_763, 8_220_677, 8_481_818, 8_764_674, 9_072_726, 9_410_332, 9_783_048, 10_198_099, 10_665_112, 11_197_294, 11_493_391,
    11_813_421, 12_161_181, 12_541_425, 12_960_202, 13_425_373, 13_947_395, 14_540_596, 14_869_922, 15_225_314, 15_610_880, 16_031_754,
    16_494_464, 17_007_484, 17_582_075, 18_233_651, 18_594_791, 18_984_063, 19_405_870, 19_865_718, 20_370_598, 20_929_580, 21_554_707,
    22_262_444, 22_654_211, 23_076_112, 23_532_841, 24_030_262, 24_575_818, 25_179_158, 25_853_084, 26_615_088, 27_036_465, 27_489_921,
    27_980_436, 28_514_222, 29_099_163, 29_745_471, 30_466_692, 31_281_314, 31_731_414, 32_215_489, 32_738_797, 33_307_890, 33_931_084,
    34_619_141, 35_386_330, 36_252_119, 36_730_157, 37_244_024, 37_799_245, 38_402_709, 39_063_150, 39_791_871, 40_603_850, 41_519_511,
    42_024_787, 42_567_705, 43_154_054, 43_791_048, 44_487_836, 45_256_248, 46_111_957, 47_076_323, 47_608_208, 48_179_510, 48_796_277,
    49_466_044, 50_198_364, 51_005_587, 51_904_065, 52_916_080, 53_474_001, 54_073_080, 54_719_619, 55_421_471, 56_188_581, 57_033_811,
    57_974_182, 59_032_880, 59_616_315, 60_242_617, 60_918_339, 61_651_642, 62_452_864, 63_335_365, 64_316_825, 65_421_318, 66_029_786,
    66_682_800, 67_387_161, 68_151_335, 68_986_042, 69_905_135, 70_926_943, 72_076_413, 72_709_468, 73_388_724, 74_121_222, 74_915_727,
    75_783_339, 76_738_396, 77_799_863, 78_993_550, 79_650_781, 80_355_840, 81_116_008, 81_940_345, 82_840_323, 83_830_759, 84_931_244,
    86_168_440, 86_849_463, 87_579_917, 88_367_319, 89_221_022, 90_152_863, 91_178_130, 92_317_037, 93_597_080, 94_301_534, 95_057_002,
    95_871_231, 96_753_861, 97_717_094, 98_776_681, 99_953_447, 101_275_717, 102_003_265, 102_783_388, 103_624_062, 104_535_210,
    105_529_391, 106_622_817, 107_836_915, 109_200_827, 109_951_153, 110_755_593, 111_622_350, 112_561_629, 113_586_341, 114_713_152,
    115_964_086, 117_369_089, 118_141_892, 118_970_331, 119_862_832, 120_829_877, 121_884_726, 123_044_493, 124_331_791, 125_777_365,
    126_572_362, 127_424_498, 128_342_421, 129_336_886, 130_421_498, 131_613_815, 132_937_033, 134_422_682, 135_239_604, 136_115_152,
    137_058_192, 138_079_749, 139_193_770, 140_418_251, 141_776_965, 143_302_222, 144_140_814, 145_039_501, 146_007_366, 147_055_704,
    148_198_797, 149_455_076, 150_848_883, 152_413_301, 153_273_319, 154_194_888, 155_187_302, 156_262_123, 157_433_967, 158_721_694,
    160_150_211, 161_753_364, 162_634_577, 163_578_779, 164_595_480, 165_696_500, 166_896_789, 168_215_630, 169_678_490, 171_319_971,
    172_222_158, 173_188_759, 174_229_493, 175_356_442, 176_584_882, 177_934_518, 179_431_371, 181_110_792, 182_033_740, 183_022_514,
    184_087_041, 185_239_659, 186_495_970, 187_876_096, 189_406_607, 191_123_594,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_what_the_formula_says() {
        for index in 0..=HALVINGS * STEPS {
            let (halvings, step) = (f64::from(index / STEPS), f64::from(index % STEPS));
            let logarithm = halvings * std::f64::consts::LN_2 + (16.0 / (16.0 - step)).ln();
            let expected = logarithm.powf(1.0 / 0.59) * 1e6;
            assert!((weibull(index) as f64 - expected).abs() <= 1.0 + expected * 1e-9, "{index}");
            assert!((exponential(index) as f64 - logarithm * 1e6).abs() <= 20.0, "{index}");
        }
    }

    #[test]
    fn lengths_are_spread_as_they_should_be() {
        let scale = Duration::from_secs(1_000);
        for (lasting, shape, mean) in [(Lasting::Weibull(scale), 0.59, 1.539), (Lasting::Exponential(scale), 1.0, 1.0)] {
            let mut lengths: Vec<f64> =
                (0..100_000).map(|n| lasting.draw(&mut Draws::new(1, "length", &[n])).as_secs_f64() / 1_000.0).collect();
            lengths.sort_by(f64::total_cmp);
            for share in [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999] {
                let (measured, expected) = (lengths[(share * 1e5) as usize], (-(1.0_f64 - share).ln()).powf(1.0 / shape));
                // Straight lines are coarse where lengths are short; far out there are few draws.
                assert!((measured - expected).abs() < 0.02 + expected * 0.12, "{lasting:?} {share}: {measured} of {expected}");
            }
            let measured = lengths.iter().sum::<f64>() / 1e5;
            assert!((measured / mean - 1.0).abs() < 0.03, "{lasting:?}: {measured}");
        }
        assert_eq!(Lasting::Always(scale).draw(&mut Draws::new(1, "length", &[])), scale);
    }

    #[test]
    fn the_ends_of_the_range_are_zero_and_the_cut() {
        assert_eq!((quantile(u64::MAX, weibull), quantile(u64::MAX, exponential)), (0, 0));
        assert!(weibull(HALVINGS * STEPS) - quantile(0, weibull) <= 1);
        let mut last = u64::MAX;
        for survivors in (0..4_096_u64).map(|n| n << 52) {
            let length = quantile(survivors, weibull);
            assert!(length <= last, "{survivors:#x}");
            last = length;
        }
    }

    /// If this fails, churn is no longer that of earlier builds.
    #[test]
    fn lengths_are_those_of_every_build() {
        let drawn = |lasting: Lasting| [0, 1, 2, 3].map(|n| lasting.draw(&mut Draws::new(7, "session", &[n])).as_micros());
        assert_eq!(drawn(Lasting::SESSIONS), [11_387_880, 1_699_306_560, 445_866_120, 64_260_000]);
        assert_eq!(drawn(Lasting::Exponential(Duration::from_secs(60))), [1_821_060, 47_522_460, 21_528_420, 6_689_940]);
    }
}
