//! A hash that is the same in every process, on every platform, in every version.

/// FNV-1a with 64 bits, and the finalizer of SplitMix64 over it, since FNV alone hardly spreads its last bytes.
///
/// Changing it moves every user to another node: don't.
pub(crate) fn stable(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(fnv)
}

/// The hash of a pair whose parts are hashed already.
#[inline]
pub(crate) fn pair(a: u64, b: u64) -> u64 {
    mix(a ^ b.rotate_left(32))
}

#[inline]
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
