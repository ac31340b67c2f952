/// All chance of a simulation: SplitMix64, the same numbers for the same seed, everywhere.
final class Chance {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// 0 up to, not including, `limit`.
    func below(_ limit: Int) -> Int { Int(truncatingIfNeeded: next() >> 33) % limit }

    /// True in `share` of 1,000 cases.
    func permille(_ share: Int) -> Bool { below(1_000) < share }

    func pick<Element>(_ elements: [Element]) -> Element { elements[below(elements.count)] }

    /// An index into `weights`, each as probable as its weight.
    func weighted(_ weights: [Int]) -> Int {
        var left = below(weights.reduce(0, +))
        for (index, weight) in weights.enumerated() {
            left -= weight
            if left < 0 { return index }
        }
        return 0
    }

    /// `count` of `elements`, in their order; all of them where there are fewer.
    func some<Element>(_ count: Int, of elements: [Element]) -> [Element] {
        var indices = Array(elements.indices)
        while indices.count > count { indices.remove(at: below(indices.count)) }
        return indices.map { elements[$0] }
    }
}
