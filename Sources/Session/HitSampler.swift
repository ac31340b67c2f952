#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Chooses, at random, the hits of one session that are verified.
///
/// A hit costs one comparison and one decrement: how many hits are passed over until the next chosen
/// one is drawn beforehand. At most `longestRun` are, then the share is looked at again, so that a
/// new configuration reaches every session.
struct HitSampler {
    private static let longestRun = 256

    /// Hits to be passed over before `draws` is to be asked.
    private(set) var countdown = 0
    private var choosesNext = false
    private var state: UInt64

    /// `seed` 0: one of its own.
    init(seed: UInt64 = 0) {
        state = seed
    }

    /// Whether the hit at hand is passed over without further thought.
    @inline(__always)
    mutating func passes() -> Bool {
        guard countdown > 0 else { return false }
        countdown -= 1
        return true
    }

    /// Whether the hit at hand, which did not pass, is chosen.
    mutating func draws(share: Double) -> Bool {
        guard share > 0 else {
            choosesNext = false
            countdown = Self.longestRun
            return false
        }
        if choosesNext {
            choosesNext = false
            return true
        }
        // The number of hits up to and with the next chosen one is distributed geometrically, and
        // has no memory: breaking a long run off and drawing anew changes nothing.
        let run = gap(share)
        if run == 1 { return true }
        choosesNext = run <= Self.longestRun
        countdown = choosesNext ? run - 2 : Self.longestRun - 1
        return false
    }

    private mutating func gap(_ share: Double) -> Int {
        if share >= 1 { return 1 }
        let drawn = log(uniform()) / log1p(-share)
        return drawn >= Double(Self.longestRun * 2) ? Self.longestRun * 2 : 1 + Int(drawn)
    }

    /// Above 0, at most 1. SplitMix64 (Steele, Lea, Flood 2014).
    private mutating func uniform() -> Double {
        if state == 0 { state = .random(in: 1 ... .max) }
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        mixed ^= mixed >> 31
        return Double((mixed >> 11) + 1) * 0x1p-53
    }
}
