import Testing

@testable import Operations

@Suite("Readiness probe")
struct ReadinessProbeTests {
    @Test("A fresh result is repeated without another check")
    func repeatsFreshResult() async {
        let counter = CheckCounter()
        let probe = ReadinessProbe(freshness: .seconds(3600), timeout: .seconds(60)) {
            .notReady(reason: "check \(await counter.next())")
        }
        for _ in 0..<10 {
            #expect(await probe.current() == .notReady(reason: "check 1"))
        }
    }

    @Test("A stale result is replaced by a new check")
    func checksAgain() async {
        let counter = CheckCounter()
        let probe = ReadinessProbe(freshness: .zero, timeout: .seconds(60)) {
            await counter.next() == 1 ? .notReady(reason: "starting") : .ready
        }
        #expect(await probe.current() == .notReady(reason: "starting"))
        #expect(await probe.current() == .ready)
    }

    @Test("Callers that wait at the same time share one check")
    func sharesCheck() async {
        let counter = CheckCounter()
        let (gate, opener) = AsyncStream<Void>.makeStream()
        let (arrivals, arrived) = AsyncStream<Void>.makeStream()
        let probe = ReadinessProbe(freshness: .zero, timeout: .seconds(60)) {
            _ = await counter.next()
            arrived.yield()
            for await _ in gate { break }
            return .ready
        }
        await withTaskGroup(of: Readiness.self) { group in
            for _ in 0..<5 {
                group.addTask { await probe.current() }
            }
            for await _ in arrivals { break }
            while await probe.waiterCount < 5 {
                await Task.yield()
            }
            opener.yield()
            for await readiness in group {
                #expect(readiness == .ready)
            }
        }
        #expect(await counter.count == 1)
    }

    @Test("A check that does not answer is reported in time and not started again")
    func hangingCheck() async {
        let counter = CheckCounter()
        let (gate, opener) = AsyncStream<Void>.makeStream()
        let probe = ReadinessProbe(freshness: .zero, timeout: .milliseconds(10)) {
            _ = await counter.next()
            for await _ in gate { break }
            return .ready
        }
        for _ in 0..<3 {
            let readiness = await probe.current()
            #expect(
                readiness == .notReady(reason: "the upstream did not answer within 0.01 seconds"))
        }
        #expect(await counter.count == 1)
        opener.finish()
    }
}

private actor CheckCounter {
    private(set) var count = 0

    func next() -> Int {
        count += 1
        return count
    }
}
