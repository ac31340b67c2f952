import NIOCore
import PostgresWire
import Telemetry

// What happens to the connections of a pool by and by, and all at once.

extension LinkPool {
    // MARK: Time

    func noteTimeout() {
        metrics?.poolTimeouts.increment()
        state.withLock { $0.timeouts += 1 }
    }

    var timeoutError: PostgresError {
        let (seconds, size) = state.withLock {
            (Double($0.settings.checkoutTimeout) / 1e9, $0.settings.size)
        }
        return PostgresError(
            .tooManyConnections,
            "no connection to the database server became free within \(seconds) s",
            severity: .fatal,
            detail: "All \(size) connections of user \"\(key.user)\" to database "
                + "\"\(key.database)\" are in use.",
            hint:
                "The limits are pool.checkout_timeout and pool.size of the proxy. Connections are "
                + "held by open transactions and by sessions that are pinned "
                + "(mynah_pool_pinned_sessions tells why).")
    }

    /// Closes what is too old or too idle, and begins what is to be kept ready.
    func maintain() {
        let (gone, begun) = state.withLock { state in
            let gone = state.links.expire(
                now: now(), lifetime: state.settings.maximumLifetime,
                idleTimeout: state.settings.idleTimeout, keeping: state.settings.minimumIdle)
            var begun: [PooledLink] = []
            if !state.isClosed, state.clients > 0, !state.logins.isEmpty {
                let loops = state.eventLoops
                for number in 0..<state.links.refill(to: state.settings.minimumIdle) {
                    let loop = number % loops.count
                    begun.append(
                        connection(login: 0, loop: loop, eventLoop: loops[loop], in: &state))
                }
            }
            if let next = nextConnection(in: &state) { begun.append(next) }
            return (gone, begun)
        }
        for link in gone { Self.close(link) }
        for link in begun { begin(link) }
    }

    func update(_ settings: PoolSettings) {
        state.withLock { state in
            state.settings = settings
            state.links.size = state.isPaused ? 0 : settings.size
        }
    }

    /// Whether it can be forgotten: no client, no connection.
    var isUnused: Bool {
        state.withLock { $0.clients == 0 && $0.links.isUnused }
    }

    var figures: PoolFigures {
        state.withLock { state in
            PoolFigures(
                user: key.user, database: key.database, size: state.settings.size,
                clients: state.clients, busy: state.links.busy, idle: state.links.idle.count,
                connecting: state.links.connecting, waiting: state.links.waiting.count)
        }
    }

    /// The server waits for five seconds for others to leave a database (`CountOtherDBBackends`).
    private static let leaveTime: UInt64 = 5_000_000_000

    func leave() {
        state.withLock { $0.leavesUntil = now() + Self.leaveTime }
        closeIdle()
    }

    /// Nobody gets a connection until `resume`: whoever wants one waits. What is given back goes.
    func pause() {
        state.withLock { state in
            state.isPaused = true
            state.links.size = 0
        }
        closeIdle()
    }

    func resume() {
        let begun = state.withLock { state in
            guard state.isPaused else { return [PooledLink]() }
            state.isPaused = false
            state.links.size = state.settings.size
            return nextConnections(in: &state)
        }
        for link in begun { begin(link) }
    }

    /// What there is now goes: at once, or when it is given back. Whoever waits for a connection that
    /// is being made gets another one: where that would have led, it may be waited for who waits here.
    func replaceLinks() {
        let (abandoned, begun) = state.withLock { state in
            state.keepsFrom = now()
            let abandoned = Array(state.connecting.values)
            state.connecting = [:]
            state.links.abandonConnecting()
            return (abandoned, nextConnections(in: &state))
        }
        for link in abandoned { Self.close(link) }
        closeIdle()
        for link in begun { begin(link) }
    }

    private func nextConnections(in state: inout State) -> [PooledLink] {
        var begun: [PooledLink] = []
        while let next = nextConnection(in: &state) { begun.append(next) }
        return begun
    }

    /// Ends what there is now, whoever has it, and returns when that is done.
    func endLinks(_ error: PostgresError) async {
        replaceLinks()
        for link in state.withLock({ Array($0.connected.values) }) {
            try? await link.eventLoop.submit { link.upstreamClosed(error, mayStillRun: true) }.get()
        }
    }

    /// Nothing idle is kept from now on.
    func close() {
        state.withLock { $0.isClosed = true }
        closeIdle()
    }

    func closeIdle() {
        let idle = state.withLock { $0.links.takeIdle() }
        for link in idle { Self.close(link) }
    }
}
