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

    struct State {
        var links: LinkPoolState<PooledLink, PoolMember>
        var settings: PoolSettings
        /// Startup parameters by number.
        var logins: [SessionStartup] = []
        var eventLoops: [any EventLoop] = []
        /// What servers have said at login, by number; the last ones.
        var greetings: [(number: UInt64, greeting: UpstreamGreeting)] = []
        var lastGreeting: UInt64 = 0
        /// Counted by `links`, and to be counted as something else when they are ready, or fail.
        var connecting: [ObjectIdentifier: PooledLink] = [:]
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

    let state: Mutex<State>
    private let makeLink: MakeLink
    let metrics: ProxyMetrics?
    /// The catalog's version now.
    private let generation: @Sendable () -> UInt64
    /// Monotonic nanoseconds.
    let now: @Sendable () -> UInt64

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
        let (answer, begun) = state.withLock { state in
            let answer = state.links.request(member, now: now())
            guard case .connect = answer else { return (answer, PooledLink?.none) }
            return (answer, connection(for: member, in: &state))
        }
        switch answer {
        case .lend(let link): return link
        case .connect(let closing):
            if let closing { Self.close(closing) }
        case .wait:
            metrics?.poolWaits.increment()
        }
        begin(begun)
        return nil
    }

    func withdraw(_ member: PoolMember) {
        _ = state.withLock { $0.links.withdraw(member) }
    }

    static func close(_ link: PooledLink) {
        link.eventLoop.execute { link.close() }
    }

    // MARK: Connecting

    /// A new connection, which `links` has counted as connecting: to be begun outside of the mutex.
    func connection(
        login: Int, loop: Int, eventLoop: any EventLoop, in state: inout State
    ) -> PooledLink {
        let link = PooledLink(
            pool: self, loop: loop, login: login, eventLoop: eventLoop, generation: generation(),
            statementCapacity: state.settings.maximumStatements, now: now())
        state.connecting[ObjectIdentifier(link)] = link
        return link
    }

    private func connection(for member: PoolMember, in state: inout State) -> PooledLink {
        connection(login: member.login, loop: member.loop, eventLoop: member.eventLoop, in: &state)
    }

    /// For who waits without a connection being made for it, where there is room for one.
    func nextConnection(in state: inout State) -> PooledLink? {
        state.links.demandToConnect().map { connection(for: $0, in: &state) }
    }

    func begin(_ link: PooledLink?) {
        guard let link else { return }
        let startup = state.withLock { $0.logins[link.login] }
        let (make, eventLoop) = (makeLink, link.eventLoop)
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
        let (number, answer, begun, isClosed) = state.withLock { state in
            guard state.connecting.removeValue(forKey: ObjectIdentifier(link)) != nil else {
                // Given up meanwhile.
                return (UInt64(0), Return.close(link), [PooledLink](), false)
            }
            if let key = greeting.backendKey { state.connected[key.processID] = link }
            let number = Self.number(of: greeting, in: &state)
            let answer = state.links.connected(link, now: now())
            return (number, answer, following(answer, in: &state), state.isClosed)
        }
        note(number)
        perform(answer)
        if isClosed { closeIdle() }
        for link in begun { begin(link) }
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
        let (told, begun) = state.withLock { state -> (PoolMember?, PooledLink?) in
            guard state.connecting.removeValue(forKey: ObjectIdentifier(link)) != nil else {
                return (nil, nil)
            }
            return (
                state.links.connectFailed(login: link.login, isServerFull: isFull),
                // A full server is not asked again at once: `maintain` does.
                isFull ? nil : nextConnection(in: &state)
            )
        }
        if let told { told.eventLoop.execute { told.failed(error) } }
        begin(begun)
    }

    func returned(_ link: PooledLink) {
        let now = self.now()
        let (answer, begun) = state.withLock { state in
            let lifetime = state.settings.maximumLifetime
            let isOld = lifetime.map { now >= link.bornAt &+ $0 } ?? false
            let answer = state.links.returned(
                link, isWorn: isOld || state.isClosed || now < state.leavesUntil
                    || link.bornAt < state.keepsFrom, now: now)
            return (answer, following(answer, in: &state))
        }
        perform(answer)
        for link in begun { begin(link) }
    }

    /// A connection is gone. `wasIdle`: nobody had it.
    func lost(_ link: PooledLink, wasIdle: Bool) {
        let begun = state.withLock { state in
            if wasIdle {
                // Unless it was taken out to be closed.
                _ = state.links.lostIdle(link)
            } else {
                state.links.lost()
            }
            return nextConnection(in: &state)
        }
        begin(begun)
    }

    private typealias Return = LinkPoolState<PooledLink, PoolMember>.Return

    /// The connections to begin after a link has come back.
    private func following(_ answer: Return, in state: inout State) -> [PooledLink] {
        var begun: [PooledLink] = []
        if case .replace(_, let member) = answer {
            begun.append(connection(for: member, in: &state))
        }
        if let next = nextConnection(in: &state) { begun.append(next) }
        return begun
    }

    private func perform(_ answer: Return) {
        switch answer {
        case .keepIdle: break
        case .lend(let link, let member):
            link.promise()
            // Never from within the call of the one who gives it back.
            link.eventLoop.execute { member.answered(link) }
        case .close(let link), .replace(let link, _): link.close()
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
}
