import NIOCore
import PostgresWire
import ResultCache

@testable import Session

/// What happens now and then: losses, cancellations, delays, the cache's housekeeping.
extension Simulation {
    /// What falls on `number`, of 10,000; false where that is nothing.
    func rareStep(_ number: Int) throws -> Bool {
        var left = number
        func falls(_ share: Int) -> Bool {
            left -= share
            return left < 0
        }
        if falls(features.lostLinks) { return loseSomeLink() }
        if falls(features.lostClients) {
            let client = chance.pick(clients)
            trace("client \(client.name) goes")
            client.disconnect()
            return true
        }
        if falls(features.cancellations) {
            if let key = chance.pick(clients).key { services.cancellations.cancel(key) {} }
            return true
        }
        if falls(features.stalls) {
            someBackend()?.stalledUntil = counters.steps + chance.below(300)
            return true
        }
        if falls(features.sweeps) {
            counters.sweptEntries += services.cache.sweep(
                now: MonotonicClock.now, budget: 1 << 20)
            return true
        }
        if falls(features.squeezes) {
            let isSqueezed = services.cache.limits.memory == Self.squeezedMemory
            services.cache.setLimits(
                CacheLimits(
                    memory: isSqueezed ? Self.memory : Self.squeezedMemory, maximumEntry: 1 << 12))
            return true
        }
        if falls(features.clockTicks) {
            loop.advanceTime(by: .seconds(1))
            return true
        }
        if falls(60) { return try stepOrphan() }
        if falls(15) { return upstream.tellOfEnd() }
        return false
    }

    private func loseSomeLink() -> Bool {
        guard let backend = someBackend(), !backend.isOrphan else { return false }
        if backend.link?.isReady ?? false, chance.permille(500) { try? backend.receive() }
        lose(backend)
        return true
    }

    func lose(_ backend: ModelBackend) {
        guard let link = backend.link else { return }
        counters.lostLinks += 1
        let client = backend.client
        trace("client \(client?.name ?? "(none)") loses its link")
        let isShared = features.pool != nil
        if isShared, client == nil { counters.lostUnlent += 1 }
        // Settings are made again on another shared connection.
        let wasBlank =
            (isShared || backend.settings == ModelSettings()) && backend.status == .idle
        let wasReady = link.isReady
        if !wasReady { backend.end() }
        link.lose(
            PostgresError(.connectionFailure, "the connection was lost"), mayStillRun: wasReady)
        loop.run()
        if let client, wasReady, !wasBlank, client.channel.isActive {
            violation = Violation(
                .transaction,
                "client \(client.name) goes on without its session's state: "
                    + "\(backend.settings), \(backend.status)")
        }
    }

    /// A backend without a link goes on, or ends.
    func stepOrphan() throws -> Bool {
        let orphans = upstream.backends.filter { $0.isOrphan && !$0.hasEnded }
        guard !orphans.isEmpty else { return false }
        let orphan = chance.pick(orphans)
        if orphan.hasWork, chance.permille(800) {
            orphan.step()
            orphan.leaving.clear()
        } else {
            orphan.end()
        }
        return true
    }
}
