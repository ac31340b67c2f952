import TestSupport
import Testing

@testable import Telemetry

@Suite("Latency histogram")
struct LatencyHistogramTests {
    @Test("Every bucket holds exactly the values between its bounds")
    func bucketBounds() {
        var index = 0
        var value: UInt64 = 0
        while value < 1 << 37 {
            #expect(LatencyHistogram.index(of: value) == index)
            let upper = LatencyHistogram.upperBound(of: index)
            #expect(LatencyHistogram.index(of: upper - 1) == index)
            #expect(LatencyHistogram.lowerBound(of: index) == value)
            value = upper
            index += 1
        }
        #expect(LatencyHistogram.index(of: 1 << 37) == index - 1)
        #expect(LatencyHistogram.index(of: .max) == index - 1)
    }

    @Test("Percentiles are within 3.2 % of the exact ones, over seven orders of magnitude")
    func percentilesAgainstExact() throws {
        var random = SeededGenerator(seed: 20_130_101)
        let histogram = LatencyHistogram()
        var values: [UInt64] = []
        for _ in 0..<50_000 {
            let magnitude = UInt64.random(in: 5...36, using: &random)
            let value = UInt64.random(in: 0...(1 << magnitude), using: &random)
            values.append(value)
            histogram.record(nanoseconds: value)
        }
        values.sort()
        let snapshot = histogram.snapshot()
        #expect(snapshot.count == 50_000)
        #expect(snapshot.sumNanoseconds == values.reduce(0, +))
        for percentile in [0.0, 0.1, 1, 10, 25, 50, 75, 90, 95, 99, 99.9, 99.99, 100] {
            let rank = max(1, Int((percentile / 100 * Double(values.count)).rounded(.up)))
            let exact = Double(values[rank - 1])
            let found = Double(try #require(snapshot.nanoseconds(atPercentile: percentile)))
            #expect(abs(found - exact) <= 0.032 * exact, "percentile \(percentile)")
        }
    }

    @Test("An empty histogram has no percentiles and zero counts")
    func empty() {
        let snapshot = LatencyHistogram().snapshot()
        #expect(snapshot.count == 0)
        #expect(snapshot.sumNanoseconds == 0)
        #expect(snapshot.nanoseconds(atPercentile: 50) == nil)
        #expect(snapshot.cumulativeCounts(upTo: [1000, 1_000_000]) == [0, 0])
    }

    @Test("Cumulative counts rise to the whole count")
    func cumulativeCounts() {
        let histogram = LatencyHistogram()
        for value in [1_000, 9_000, 90_000, 900_000, 9_000_000] as [UInt64] {
            histogram.record(nanoseconds: value)
        }
        let counts = histogram.snapshot().cumulativeCounts(
            upTo: [500, 10_000, 100_000, 1_000_000, 10_000_000])
        #expect(counts == [0, 2, 3, 4, 5])
    }

    @Test("Recordings from several threads are all counted")
    func concurrentRecordings() async {
        let histogram = LatencyHistogram()
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<4 {
                group.addTask {
                    for value in 0..<10_000 {
                        histogram.record(nanoseconds: UInt64(value * (task + 1)))
                    }
                }
            }
        }
        #expect(histogram.snapshot().count == 40_000)
        #expect(histogram.snapshot().sumNanoseconds == 49_995_000 * 10)
    }
}
