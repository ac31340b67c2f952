import NIOCore
import PostgresWire
import Synchronization
import Telemetry

/// The pools of one server, by user and database. Thread-safe.
package final class LinkPools: Sendable {
    private struct State {
        var pools: [LinkPool.Key: LinkPool] = [:]
        var settings: PoolSettings
        var maintenance: RepeatedTask?
        var isClosed = false
        var isPaused = false
        /// Of the last pause.
        var pause = 0
    }

    private let state: Mutex<State>
    private let metrics: ProxyMetrics?
    private let user: String?
    private let database: String?
    private let generation: @Sendable (_ database: String) -> UInt64
    private let now: @Sendable () -> UInt64
    private let makeLink: LinkPool.MakeLink

    /// - Parameters:
    ///   - user, database: who logs in where, whatever the client says; nil: as the client says.
    ///   - generation: the catalog's version of a database.
    ///   - now: monotonic nanoseconds.
    init(
        settings: PoolSettings, user: String?, database: String?, metrics: ProxyMetrics?,
        generation: @escaping @Sendable (_ database: String) -> UInt64,
        now: @escaping @Sendable () -> UInt64 = { NIODeadline.now().uptimeNanoseconds },
        makeLink: @escaping LinkPool.MakeLink
    ) {
        self.user = user
        self.database = database
        self.metrics = metrics
        self.generation = generation
        self.now = now
        self.makeLink = makeLink
        state = Mutex(State(settings: settings))
    }

    /// The mode that sessions beginning now are served in.
    package var mode: PoolSettings.Mode { state.withLock { $0.settings.mode } }

    /// A place in the pool of the client's user and database. Throws where that has as many clients
    /// as it may, or the proxy is stopping. Call on the client's event loop.
    package func join(
        _ startup: SessionStartup, on eventLoop: any EventLoop
    ) throws(PostgresError) -> PoolMember {
        let key = LinkPool.Key(
            user: user ?? startup.user, database: database ?? startup.database)
        // Joined under the mutex: a pool without clients may be dropped at any time.
        let member = state.withLock { state -> Result<PoolMember, PostgresError>? in
            if state.isClosed { return nil }
            if state.maintenance == nil {
                state.maintenance = eventLoop.scheduleRepeatedTask(
                    initialDelay: .seconds(1), delay: .seconds(1)
                ) { [weak self] task in
                    guard let self else { return task.cancel() }
                    self.maintain()
                }
            }
            if let pool = state.pools[key] { return Self.join(pool, startup, eventLoop) }
            let generation = generation
            let database = startup.database
            let pool = LinkPool(
                key: key, settings: state.settings, metrics: metrics,
                generation: { generation(database) }, now: now, makeLink: makeLink)
            if state.isPaused { pool.pause() }
            state.pools[key] = pool
            return Self.join(pool, startup, eventLoop)
        }
        guard let member else {
            throw PostgresError(
                .adminShutdown, "the proxy is shutting down", severity: .fatal)
        }
        return try member.get()
    }

    private static func join(
        _ pool: LinkPool, _ startup: SessionStartup, _ eventLoop: any EventLoop
    ) -> Result<PoolMember, PostgresError> {
        Result { () throws(PostgresError) in try pool.join(shared(startup), on: eventLoop) }
    }

    /// What connections are made with: without what differs from client to client and is set on
    /// whichever connection serves.
    private static func shared(_ startup: SessionStartup) -> SessionStartup {
        var startup = startup
        startup.parameters.removeAll { $0.name == applicationName }
        return startup
    }

    package static let applicationName = "application_name"

    private func maintain() {
        let pools = state.withLock { Array($0.pools.values) }
        for pool in pools { pool.maintain() }
        state.withLock { state in
            for (key, pool) in state.pools where pool.isUnused { state.pools[key] = nil }
        }
    }

    /// New limits hold at once; the mode for sessions that begin from now on.
    package func update(_ settings: PoolSettings) {
        let pools = state.withLock { state in
            state.settings = settings
            return Array(state.pools.values)
        }
        for pool in pools { pool.update(settings) }
    }

    /// Closes what nobody has of the connections to `database`, and for a while what is given back.
    func leave(database: String) {
        let pools = state.withLock { state in
            state.pools.values.filter { $0.key.database == database }
        }
        for pool in pools { pool.leave() }
    }

    /// Closes what nobody has, and what somebody has when it is given back.
    func replaceLinks() {
        for pool in state.withLock({ Array($0.pools.values) }) { pool.replaceLinks() }
    }

    /// Nobody gets a connection until `resume`: whoever wants one waits. Returns the pause's number.
    func pause() -> Int {
        let (pools, number) = state.withLock { state in
            state.isPaused = true
            state.pause += 1
            return (Array(state.pools.values), state.pause)
        }
        for pool in pools { pool.pause() }
        return number
    }

    /// - Parameter pause: if given, only this one ends.
    func resume(_ pause: Int? = nil) {
        let pools = state.withLock { state in
            guard pause == nil || pause == state.pause else { return [LinkPool]() }
            state.isPaused = false
            return Array(state.pools.values)
        }
        for pool in pools { pool.resume() }
    }

    /// Ends all connections, whoever has them, and returns when that is done.
    func endLinks(_ error: PostgresError) async {
        for pool in state.withLock({ Array($0.pools.values) }) { await pool.endLinks(error) }
    }

    /// What the client that uses, or used last, the connection of server process `processID` in
    /// `database` was told as its own process id; nil where the connection is no pool's.
    package func clientProcessID(onConnection processID: Int32, database: String) -> Int32? {
        let pools = state.withLock { state in
            state.pools.values.filter { $0.key.database == self.database ?? database }
        }
        return pools.lazy.compactMap { $0.clientProcessID(onConnection: processID) }.first
    }

    package var figures: [PoolFigures] {
        state.withLock { Array($0.pools.values) }.map(\.figures)
    }

    /// Closes what is idle; what is lent is closed when it is given back.
    func close() {
        let (pools, maintenance) = state.withLock { state in
            state.isClosed = true
            defer { state.maintenance = nil }
            return (Array(state.pools.values), state.maintenance)
        }
        maintenance?.cancel()
        for pool in pools { pool.close() }
    }
}
