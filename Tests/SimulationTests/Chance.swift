import TestSupport

/// All chance of a simulation, shared by its parts.
final class Chance {
    private var generator: SeededGenerator

    init(seed: UInt64) {
        generator = SeededGenerator(seed: seed)
    }

    func next() -> UInt64 { generator.next() }

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
