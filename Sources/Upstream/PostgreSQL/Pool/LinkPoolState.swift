import DequeModule

/// A connection as the pool's bookkeeping sees it.
protocol PoolableLink: AnyObject {
    /// Which event loop it lives on.
    var loop: Int { get }
    /// Which startup parameters it was made with.
    var login: Int { get }
    /// The settings with a dot in their names that exist in its session.
    var definedNames: Set<String> { get }
    var settings: ServerSettings { get }
    /// What had been changed of the catalog, roles included, before it logged in; only grows.
    var generation: UInt64 { get }
    /// Monotonic nanoseconds.
    var bornAt: UInt64 { get }
    var idleSince: UInt64 { get set }
}

/// A client session that wants a connection.
protocol PoolDemand: AnyObject {
    var loop: Int { get }
    var login: Int { get }
    /// The settings with a dot in their names that exist for this client.
    var definedNames: Set<String> { get }
    var settings: ServerSettings { get }
    /// Links that logged in earlier do not do.
    var neededGeneration: UInt64 { get }
    var waitingSince: UInt64 { get set }
}

/// The bookkeeping of one pool: which connections are idle, how many there are, who waits.
///
/// A pure machine: events in, what is to be done out. Connections live on event loops and cannot be
/// used from another, so that a client is served on its own loop; who has waited for longer than
/// `patience` comes first whatever its loop, by one connection ending and another beginning there.
struct LinkPoolState<Link: PoolableLink, Demand: PoolDemand> {
    enum Answer {
        case lend(Link)
        /// Begin a connection on the demand's loop; `closing` makes room for it. The demand waits.
        case connect(closing: Link?)
        case wait
    }

    enum Return {
        case keepIdle
        case lend(Link, to: Demand)
        case close(Link)
        /// It serves nobody who waits: `Demand` needs a connection of its own.
        case replace(Link, for: Demand)
    }

    /// In nanoseconds: how long a client may be overtaken by others of the loop of the connection
    /// that has become free.
    static var patience: UInt64 { 20_000_000 }

    var size: Int
    /// Lent, being reset, or on the way between two states.
    private(set) var busy = 0
    private(set) var connecting = 0
    /// The one used last comes last.
    private(set) var idle: [Link] = []
    private(set) var waiting: Deque<Demand> = []

    init(size: Int) {
        self.size = size
    }

    var total: Int { busy + connecting + idle.count }
    var isUnused: Bool { total == 0 && waiting.isEmpty }

    // MARK: Demands

    mutating func request(_ demand: Demand, now: UInt64) -> Answer {
        // The one used last, and rather one whose settings need not be changed.
        let index =
            idle.lastIndex {
                $0.loop == demand.loop && Self.fits($0, demand) && $0.settings == demand.settings
            } ?? idle.lastIndex { $0.loop == demand.loop && Self.fits($0, demand) }
        if let index {
            busy += 1
            return .lend(idle.remove(at: index))
        }
        demand.waitingSince = now
        waiting.append(demand)
        if total < size {
            connecting += 1
            return .connect(closing: nil)
        }
        // Idle, but on another loop or of another kind: the one not used for longest makes room.
        if !idle.isEmpty {
            connecting += 1
            return .connect(closing: idle.removeFirst())
        }
        return .wait
    }

    /// False where it does not wait (any more).
    mutating func withdraw(_ demand: Demand) -> Bool {
        guard let index = waiting.firstIndex(where: { $0 === demand }) else { return false }
        waiting.remove(at: index)
        return true
    }

    // MARK: Connections

    /// A connection is ready for use.
    mutating func connected(_ link: Link, now: UInt64) -> Return {
        connecting -= 1
        busy += 1
        return returned(link, now: now)
    }

    /// What is being made is for nobody any more: whoever waits waits on.
    mutating func abandonConnecting() {
        connecting = 0
    }

    /// A connection could not be made. Returns who is to be told, if it is not to wait on: where the
    /// server has no room and others are in use, one of those will become free.
    mutating func connectFailed(login: Int, isServerFull: Bool) -> Demand? {
        connecting -= 1
        if isServerFull, busy > 0 { return nil }
        guard let index = waiting.firstIndex(where: { $0.login == login }) else { return nil }
        return waiting.remove(at: index)
    }

    /// Who waits without a connection being made for it, where there is room for one.
    mutating func demandToConnect() -> Demand? {
        guard waiting.count > connecting, total < size else { return nil }
        connecting += 1
        return waiting[connecting - 1]
    }

    /// A lent connection is clean and free again. `Return.close` and `.replace`: it is gone.
    mutating func returned(_ link: Link, isWorn: Bool = false, now: UInt64) -> Return {
        busy -= 1
        if isWorn || total >= size { return .close(link) }
        guard let first = waiting.first else {
            link.idleSince = now
            idle.append(link)
            return .keepIdle
        }
        let isPatient = now < first.waitingSince &+ Self.patience
        if isPatient,
            let index = waiting.firstIndex(where: { $0.loop == link.loop && Self.fits(link, $0) })
        {
            busy += 1
            return .lend(link, to: waiting.remove(at: index))
        }
        if first.loop == link.loop, Self.fits(link, first) {
            busy += 1
            return .lend(link, to: waiting.removeFirst())
        }
        guard connecting < waiting.count else {
            // Whoever waits is being connected.
            link.idleSince = now
            idle.append(link)
            return .keepIdle
        }
        connecting += 1
        return .replace(link, for: first)
    }

    /// A lent connection is gone.
    mutating func lost() {
        busy -= 1
    }

    /// An idle connection is gone; false where it was not idle.
    mutating func lostIdle(_ link: Link) -> Bool {
        guard let index = idle.firstIndex(where: { $0 === link }) else { return false }
        idle.remove(at: index)
        return true
    }

    // MARK: Time

    /// Takes out the idle connections that have lived, or idled, for long enough.
    mutating func expire(
        now: UInt64, lifetime: UInt64?, idleTimeout: UInt64?, keeping minimum: Int
    ) -> [Link] {
        var gone: [Link] = []
        var kept: [Link] = []
        var left = idle.count
        for link in idle {
            let isOld = lifetime.map { now >= link.bornAt &+ $0 } ?? false
            let isIdle = idleTimeout.map { now >= link.idleSince &+ $0 } ?? false
            if isOld || (isIdle && left > minimum) || busy + connecting + left > size {
                left -= 1
                gone.append(link)
            } else {
                kept.append(link)
            }
        }
        idle = kept
        return gone
    }

    /// How many connections to begin so that `minimum` are idle.
    mutating func refill(to minimum: Int) -> Int {
        let wanted = min(minimum - idle.count - connecting, size - total)
        guard wanted > 0 else { return 0 }
        connecting += wanted
        return wanted
    }

    mutating func takeIdle() -> [Link] {
        defer { idle = [] }
        return idle
    }

    private static func fits(_ link: Link, _ demand: Demand) -> Bool {
        link.login == demand.login && link.generation >= demand.neededGeneration
            && (link.definedNames.isEmpty || link.definedNames.isSubset(of: demand.definedNames))
    }
}
