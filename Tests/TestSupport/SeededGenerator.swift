/// All chance of the tests: the same numbers for the same seed, everywhere.
///
/// SplitMix64, from Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
/// OOPSLA 2014. https://doi.org/10.1145/2714064.2660195
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// Any seed is as good as another, 0 included.
    package init(seed: UInt64) {
        state = seed
    }

    /// The next number, each of the 2^64 as probable as the others.
    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// `bytes` with a few bytes flipped, inserted, removed, cut off or set to boundary values.
    package mutating func mutated(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...4, using: &self) {
            let index = bytes.isEmpty ? 0 : Int.random(in: 0..<bytes.count, using: &self)
            switch Int.random(in: 0..<6, using: &self) {
            case 0 where !bytes.isEmpty: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &self)
            case 1 where !bytes.isEmpty: bytes.remove(at: index)
            case 2 where !bytes.isEmpty: bytes.removeLast(bytes.count - index)
            case 3 where !bytes.isEmpty:
                bytes[index] = [0, 1, 0x7F, 0x80, 0xFF].randomElement(using: &self) ?? 0
            case 4 where bytes.count >= 4:
                let value: [UInt8] =
                    [
                        [0x7F, 0xFF, 0xFF, 0xFF], [0x80, 0, 0, 0], [0xFF, 0xFF, 0xFF, 0xFF],
                        [0, 0, 0, 0], [0, 0, 0, 3], [0, 0, 0xFF, 0xFF],
                    ].randomElement(using: &self) ?? []
                let start = Int.random(in: 0...(bytes.count - 4), using: &self)
                bytes.replaceSubrange(start..<start + 4, with: value)
            default: bytes.insert(UInt8.random(in: 0...255, using: &self), at: index)
            }
        }
        return bytes
    }
}
