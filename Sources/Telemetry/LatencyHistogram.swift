import Synchronization

/// Counts durations in log-linear buckets: 32 buckets per power of two, so that a value read back
/// is within 3.2 % of the one recorded, from a nanosecond to 137 seconds (longer durations land in
/// the last bucket; the sum stays exact).
///
/// Recording is two relaxed atomic additions and never allocates; any thread may record.
package final class LatencyHistogram: @unchecked Sendable {
    private static let subBucketBits = 5
    private static let subBuckets = 1 << subBucketBits
    /// Values of this many bits or fewer have a bucket: 2^37 ns = 137 s.
    private static let maximumBits = 37
    private static let bucketCount = (maximumBits - subBucketBits + 1) * subBuckets

    // @unchecked: the pointer is written in init and deinit alone, and what it points to is atomic.
    private let buckets: UnsafeMutablePointer<Atomic<UInt64>>
    private let sum = Atomic<UInt64>(0)

    package init() {
        buckets = .allocate(capacity: Self.bucketCount)
        for index in 0..<Self.bucketCount {
            (buckets + index).initialize(to: Atomic(0))
        }
    }

    deinit {
        buckets.deinitialize(count: Self.bucketCount)
        buckets.deallocate()
    }

    package func record(nanoseconds: UInt64) {
        buckets[Self.index(of: nanoseconds)].wrappingAdd(1, ordering: .relaxed)
        sum.wrappingAdd(nanoseconds, ordering: .relaxed)
    }

    /// What has been recorded so far. Recordings that run meanwhile may be in `counts` and not yet
    /// in `sumNanoseconds`.
    package func snapshot() -> Snapshot {
        var counts = [UInt64](repeating: 0, count: Self.bucketCount)
        for index in counts.indices {
            counts[index] = buckets[index].load(ordering: .relaxed)
        }
        return Snapshot(counts: counts, sumNanoseconds: sum.load(ordering: .relaxed))
    }

    /// Values below `subBuckets` have a bucket each; above, the bucket is given by the position of
    /// the highest bit and the five bits after it.
    static func index(of nanoseconds: UInt64) -> Int {
        let bits = UInt64.bitWidth - nanoseconds.leadingZeroBitCount
        guard bits > subBucketBits else { return Int(nanoseconds) }
        guard bits <= maximumBits else { return bucketCount - 1 }
        let shift = bits - subBucketBits - 1
        return (shift + 1) * subBuckets + (Int(nanoseconds >> UInt64(shift)) - subBuckets)
    }

    /// The smallest value that falls into the bucket after `index`.
    static func upperBound(of index: Int) -> UInt64 {
        guard index >= subBuckets else { return UInt64(index) + 1 }
        let shift = UInt64(index / subBuckets - 1)
        return UInt64(index % subBuckets + subBuckets + 1) << shift
    }

    static func lowerBound(of index: Int) -> UInt64 {
        index == 0 ? 0 : upperBound(of: index - 1)
    }

    /// The state of a histogram at one moment.
    package struct Snapshot: Sendable {
        let counts: [UInt64]
        package let sumNanoseconds: UInt64
        package let count: UInt64

        init(counts: [UInt64], sumNanoseconds: UInt64) {
            self.counts = counts
            self.sumNanoseconds = sumNanoseconds
            count = counts.reduce(0, &+)
        }

        /// The duration in nanoseconds that `percentile` percent (0 to 100) of the recorded ones do
        /// not exceed, as the middle of its bucket; nil when nothing was recorded.
        package func nanoseconds(atPercentile percentile: Double) -> UInt64? {
            guard count > 0 else { return nil }
            let share = min(max(percentile, 0), 100) / 100
            let rank = max(1, UInt64((share * Double(count)).rounded(.up)))
            var seen: UInt64 = 0
            for (index, bucket) in counts.enumerated() where bucket > 0 {
                seen += bucket
                if seen >= rank {
                    let lower = LatencyHistogram.lowerBound(of: index)
                    return lower + (LatencyHistogram.upperBound(of: index) - 1 - lower) / 2
                }
            }
            return nil
        }

        /// For each of the ascending `bounds` (nanoseconds), how many recorded durations do not
        /// exceed it; a duration within 3.2 % of a bound may be counted on its other side.
        package func cumulativeCounts(upTo bounds: [UInt64]) -> [UInt64] {
            var result: [UInt64] = []
            result.reserveCapacity(bounds.count)
            var index = 0
            var seen: UInt64 = 0
            for bound in bounds {
                while index < counts.count, LatencyHistogram.upperBound(of: index) - 1 <= bound {
                    seen += counts[index]
                    index += 1
                }
                result.append(seen)
            }
            return result
        }
    }
}
