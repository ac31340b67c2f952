import Logging
import NIOCore
import PostgresWire
import Synchronization
import Telemetry

/// The connections of one user to one database, shared by that user's client sessions.
///
/// Thread-safe. What is decided is decided by `LinkPoolState`, under a mutex; connections are begun,
/// lent and closed outside of it, on their own event loops.
final class LinkPool: Sendable {
    /// Who logs in where.
    struct Key: Hashable, Sendable {
        let user: String
        let database: String
    }

    /// Makes the connection itself. Call on the event loop.
    typealias MakeLink =
        @Sendable (SessionStartup, any EventLoop, any UpstreamLinkDelegate) -> any UpstreamLink

    let key: Key
    private struct State {
        var links: LinkPoolState<PooledLink, PoolMember>
        var settings: PoolSettings
        /// Startup parameters by number.
        var logins: [SessionStartup] = []
        var eventLoops: [any EventLoop] = []
        /// What servers have said at login, by number; the last ones.
        var greetings: [(number: UInt64, greeting: UpstreamGreeting)] = []
        var lastGreeting: UInt64 = 0
        /// By the process id on the server.
        var connected: [Int32: PooledLink] = [:]
        var clients = 0
        var timeouts: UInt64 = 0
        var usesSequenceState = false
        var isClosed = false
        /// What is given back before this moment is not kept.
        var leavesUntil: UInt64 = 0
        /// Whoever wants a connection waits.
        var isPaused = false
        /// What was begun before this moment is not kept.
        var keepsFrom: UInt64 = 0
    }

    private let state: Mutex<State>
    private let makeLink: MakeLink
    private let metrics: ProxyMetrics?
    /// The catalog's version now.
    private let generation: @Sendable () -> UInt64
    /// Monotonic nanoseconds.
    private let now: @Sendable () -> UInt64

    init(
        key: Key, settings: PoolSettings, metrics: ProxyMetrics?,
        generation: @escaping @Sendable () -> UInt64, now: @escaping @Sendable () -> UInt64,
        makeLink: @escaping MakeLink
    ) {
        self.key = key
        self.now = now
        self.metrics = metrics
        self.generation = generation
        self.makeLink = makeLink
        state = Mutex(State(links: LinkPoolState(size: settings.size), settings: settings))
    }

    var currentGeneration: UInt64 { generation() }

    var checkoutTimeout: TimeAmount {
        .nanoseconds(Int64(clamping: state.withLock { $0.settings.checkoutTimeout }))
    }

    /// What clients that give ever different startup parameters can make a pool hold.
    private static let maximumLogins = 1_000

    // MARK: Members

    /// A client session takes part. Throws where there are as many as may be.
    func join(_ startup: SessionStartup, on eventLoop: any EventLoop) throws(PostgresError)
        -> PoolMember
    {
        let numbers = state.withLock { state -> (loop: Int, login: Int)? in
            if state.logins.count >= Self.maximumLogins, !state.logins.contains(startup) {
                return nil
            }
            if let limit = state.settings.maximumClients, state.clients >= limit { return nil }
            state.clients += 1
            return (
                Self.index(of: eventLoop, in: &state.eventLoops),
                Self.index(of: startup, in: &state.logins)
            )
        }
        guard let numbers else {
            throw PostgresError(
                .tooManyConnections,
                "too many client connections of user \"\(key.user)\" to database "
                    + "\"\(key.database)\"",
                severity: .fatal, hint: "The limit is pool.max_client_connections of the proxy.")
        }
        return PoolMember(
            pool: self, loop: numbers.loop, login: numbers.login, eventLoop: eventLoop)
    }

    func left(_ member: PoolMember) {
        state.withLock { $0.clients -= 1 }
    }

    private static func index(of loop: any EventLoop, in loops: inout [any EventLoop]) -> Int {
        if let index = loops.firstIndex(where: { $0 === loop }) { return index }
        loops.append(loop)
        return loops.count - 1
    }

    private static func index(of startup: SessionStartup, in all: inout [SessionStartup]) -> Int {
        if let index = all.firstIndex(of: startup) { return index }
        all.append(startup)
        return all.count - 1
    }

    // MARK: Borrowing

    /// An idle connection on the member's loop; nil where it has to wait for one.
    func borrow(for member: PoolMember) -> PooledLink? {
        let answer = state.withLock { $0.links.request(member, now: now()) }
        switch answer {
        case .lend(let link): return link
        case .connect(let closing):
            if let closing { Self.close(closing) }
            connect(login: member.login, on: member.eventLoop, loop: member.loop)
        case .wait:
            metrics?.poolWaits.increment()
        }
        return nil
    }

    func withdraw(_ member: PoolMember) {
        _ = state.withLock { $0.links.withdraw(member) }
    }

    private static func close(_ link: PooledLink) {
        link.eventLoop.execute { link.close() }
    }

    private func connect(login: Int, on eventLoop: any EventLoop, loop: Int) {
        let (startup, statements) = state.withLock {
            ($0.logins[login], $0.settings.maximumStatements)
        }
        let link = PooledLink(
            pool: self, loop: loop, login: login, eventLoop: eventLoop, generation: generation(),
            statementCapacity: statements, now: now())
        let make = makeLink
        if eventLoop.inEventLoop {
            link.start { make(startup, eventLoop, $0) }
        } else {
            eventLoop.execute { link.start { make(startup, eventLoop, $0) } }
        }
    }

    // MARK: Events of connections, on their event loops

    func connected(_ link: PooledLink, numbered note: (UInt64) -> Void) {
        let greeting = link.greeting
        metrics?.upstreamConnections.increment()
        let (number, answer, isClosed) = state.withLock { state in
            if let key = greeting.backendKey { state.connected[key.processID] = link }
            return (
                Self.number(of: greeting, in: &state),
                // One that leads to where links led before is for nobody.
                state.links.connected(
                    link, isWorn: link.bornAt < state.keepsFrom, now: now()), state.isClosed
            )
        }
        note(number)
        perform(answer)
        if isClosed { closeIdle() }
        if let next = state.withLock({ $0.links.demandToConnect() }) {
            connect(login: next.login, on: next.eventLoop, loop: next.loop)
        }
    }

    /// A connection that was ready is closed, by whomever.
    func noteClosed(_ link: PooledLink) {
        metrics?.upstreamConnections.decrement()
        guard let processID = link.greeting.backendKey?.processID else { return }
        state.withLock { state in
            // The server may have given the number to another one by now.
            if state.connected[processID] === link { state.connected[processID] = nil }
        }
    }

    /// What the client that uses, or used last, the connection of server process `processID` was told
    /// as its own; nil where that is none of this pool's.
    func clientProcessID(onConnection processID: Int32) -> Int32? {
        let link = state.withLock { $0.connected[processID] }
        guard let client = link?.lastClientProcessID.load(ordering: .relaxed), client != 0 else {
            return nil
        }
        return client
    }

    func connectFailed(_ link: PooledLink, _ error: PostgresError) {
        metrics?.upstreamConnectFailures.increment()
        let isFull = error.sqlState == .tooManyConnections
        let (told, next) = state.withLock { state -> (PoolMember?, PoolMember?) in
            if link.bornAt < state.keepsFrom {
                // It would have led to where links led before.
                state.links.connectAbandoned()
                return (nil, state.links.demandToConnect())
            }
            return (
                state.links.connectFailed(login: link.login, isServerFull: isFull),
                // A full server is not asked again at once: `maintain` does.
                isFull ? nil : state.links.demandToConnect()
            )
        }
        if let told { told.eventLoop.execute { told.failed(error) } }
        if let next { connect(login: next.login, on: next.eventLoop, loop: next.loop) }
    }

    func returned(_ link: PooledLink) {
        let now = self.now()
        let (answer, next) = state.withLock { state in
            let lifetime = state.settings.maximumLifetime
            let isOld = lifetime.map { now >= link.bornAt &+ $0 } ?? false
            let answer = state.links.returned(
                link, isWorn: isOld || state.isClosed || now < state.leavesUntil
                    || link.bornAt < state.keepsFrom, now: now)
            return (answer, state.links.demandToConnect())
        }
        perform(answer)
        if let next { connect(login: next.login, on: next.eventLoop, loop: next.loop) }
    }

    /// A connection is gone. `wasIdle`: nobody had it.
    func lost(_ link: PooledLink, wasIdle: Bool) {
        let next = state.withLock { state -> PoolMember? in
            if wasIdle {
                // Unless it was taken out to be closed.
                _ = state.links.lostIdle(link)
            } else {
                state.links.lost()
            }
            return state.links.demandToConnect()
        }
        if let next { connect(login: next.login, on: next.eventLoop, loop: next.loop) }
    }

    private func perform(_ answer: LinkPoolState<PooledLink, PoolMember>.Return) {
        switch answer {
        case .keepIdle: break
        case .lend(let link, let member):
            link.promise()
            // Never from within the call of the one who gives it back.
            link.eventLoop.execute { member.answered(link) }
        case .close(let link): link.close()
        case .replace(let link, let member):
            link.close()
            connect(login: member.login, on: member.eventLoop, loop: member.loop)
        }
    }

    /// The number of a greeting; a new one where none of late was the same.
    private static func number(of greeting: UpstreamGreeting, in state: inout State) -> UInt64 {
        if let known = state.greetings.first(where: { $0.greeting.isSameLogin(as: greeting) }) {
            return known.number
        }
        state.lastGreeting += 1
        state.greetings.append((state.lastGreeting, greeting))
        if state.greetings.count > 16 { state.greetings.removeFirst() }
        return state.lastGreeting
    }

    // MARK: Sequences

    var usesSequenceState: Bool { state.withLock { $0.usesSequenceState } }
    func noteSequenceStateUsed() { state.withLock { $0.usesSequenceState = true } }

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
        let (gone, wanted) = state.withLock { state in
            let gone = state.links.expire(
                now: now(), lifetime: state.settings.maximumLifetime,
                idleTimeout: state.settings.idleTimeout, keeping: state.settings.minimumIdle)
            guard !state.isClosed, state.clients > 0, !state.logins.isEmpty else {
                return (gone, [(loop: Int, eventLoop: any EventLoop)]())
            }
            let count = state.links.refill(to: state.settings.minimumIdle)
            let loops = state.eventLoops
            return (gone, (0..<count).map { ($0 % loops.count, loops[$0 % loops.count]) })
        }
        for link in gone { Self.close(link) }
        if let next = state.withLock({ $0.links.demandToConnect() }) {
            connect(login: next.login, on: next.eventLoop, loop: next.loop)
        }
        for (loop, eventLoop) in wanted { connect(login: 0, on: eventLoop, loop: loop) }
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
        let isNews = state.withLock { state in
            defer { state.isPaused = false }
            state.links.size = state.settings.size
            return state.isPaused
        }
        guard isNews else { return }
        while let next = state.withLock({ $0.links.demandToConnect() }) {
            connect(login: next.login, on: next.eventLoop, loop: next.loop)
        }
    }

    /// What there is now goes: at once, or when it is given back.
    func replaceLinks() {
        state.withLock { $0.keepsFrom = now() }
        closeIdle()
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

    private func closeIdle() {
        let idle = state.withLock { $0.links.takeIdle() }
        for link in idle { Self.close(link) }
    }
}
