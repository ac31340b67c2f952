import Logging
import NIOCore
import ResultCache
import SQLAnalysis
import Security
import Synchronization
import Telemetry
import Upstream

/// What all sessions share. One per process; everything in it is thread-safe.
package final class SessionServices: Sendable {
    package let upstream: any Upstream
    /// Asked for every answer from memory, hence not through `upstream`.
    let commitWatch: CommitWatch?
    package let cache: ReplyCache
    package let cells: CellTable
    /// Whether this node may answer from memory. Asked for every answer.
    package let right: ServingRight
    /// Whether the upstream is away.
    package let absence = UpstreamAbsence()
    let flights: FlightTable
    package let coordinator: WriteCoordinator
    package let identities: SessionIdentityTable
    let greetings: GreetingTable
    let cancellations: CancellationRegistry
    /// TLS for clients; off until something is offered.
    package let encryption = ClientEncryption()
    /// Who may come in, and how many.
    package let authenticator: ClientAuthenticator
    package let metrics: ProxyMetrics
    let logger: Logger
    /// False where the cache was off when the process started: nothing is analysed then, and every
    /// byte goes through. (Turning it on later would miss the writes already under way.)
    package let analyses: Bool
    private let currentOptions: Mutex<SessionOptions>
    /// Read for every statement, hence not behind the mutex.
    private let servesFromCache: Atomic<Bool>
    private let currentMessageLimit: Atomic<Int>
    private let currentEntryLimit: Atomic<Int>
    private let sharing: Atomic<Bool>
    /// The bits of `SessionOptions.verifiedShare`.
    private let currentVerifiedShare: Atomic<UInt64>
    private let currentOptionsVersion: Atomic<UInt64>

    package init(
        upstream: any Upstream, cache: ReplyCache, cells: CellTable, options: SessionOptions,
        metrics: ProxyMetrics, logger: Logger, authenticator: ClientAuthenticator = .init(),
        right: ServingRight = ServingRight()
    ) {
        self.right = right
        self.authenticator = authenticator
        self.upstream = upstream
        commitWatch = upstream.commitWatch
        self.cache = cache
        self.cells = cells
        self.metrics = metrics
        self.logger = logger
        flights = FlightTable()
        coordinator = WriteCoordinator(
            cells: cells, metrics: metrics, upstream: upstream, right: right, logger: logger)
        identities = SessionIdentityTable()
        greetings = GreetingTable(cells: cells)
        cancellations = CancellationRegistry()
        analyses = options.isCacheEnabled || upstream.pools?.mode == .transaction
        currentOptions = Mutex(options)
        servesFromCache = Atomic(options.isCacheEnabled)
        currentMessageLimit = Atomic(options.maximumMessage)
        currentEntryLimit = Atomic(options.maximumEntry)
        sharing = Atomic(options.sharesFlights)
        currentVerifiedShare = Atomic(options.verifiedShare.bitPattern)
        currentOptionsVersion = Atomic(0)
        applyStaleness(of: options)
    }

    private func applyStaleness(of options: SessionOptions) {
        absence.allowance = options.staleIfError
        cache.setRetention(options.staleIfError)
    }

    private let sessions = Atomic<UInt64>(0)

    /// A number that no session has had, and no identity: those count from 1.
    func nextSessionSerial() -> UInt64 {
        sessions.add(1, ordering: .relaxed).newValue | (1 << 63)
    }

    /// The options in force. New values hold from the next statement on.
    package var options: SessionOptions {
        get { currentOptions.withLock { $0 } }
        set {
            currentOptions.withLock { $0 = newValue }
            servesFromCache.store(
                newValue.isCacheEnabled && analyses, ordering: .sequentiallyConsistent)
            currentMessageLimit.store(newValue.maximumMessage, ordering: .relaxed)
            currentEntryLimit.store(newValue.maximumEntry, ordering: .relaxed)
            sharing.store(newValue.sharesFlights, ordering: .relaxed)
            currentVerifiedShare.store(newValue.verifiedShare.bitPattern, ordering: .relaxed)
            applyStaleness(of: newValue)
            currentOptionsVersion.add(1, ordering: .sequentiallyConsistent)
            if !newValue.isCacheEnabled { cache.removeAll() }
        }
    }

    /// The largest message accepted from a client, in bytes.
    var messageLimit: Int { currentMessageLimit.load(ordering: .relaxed) }

    /// The largest reply that is stored, in bytes.
    var entryLimit: Int { currentEntryLimit.load(ordering: .relaxed) }

    /// Whether identical misses wait for one upstream execution.
    var sharesFlights: Bool { sharing.load(ordering: .relaxed) }

    /// The share of hits that are verified, from 0 to 1.
    var verifiedShare: Double {
        Double(bitPattern: currentVerifiedShare.load(ordering: .relaxed))
    }

    /// Grows with every change of the options.
    var optionsVersion: UInt64 { currentOptionsVersion.load(ordering: .sequentiallyConsistent) }

    var isServingFromCache: Bool {
        servesFromCache.load(ordering: .relaxed)
    }
}

/// What an operator can change about sessions while the process runs.
package struct SessionOptions: Sendable {
    package var isCacheEnabled: Bool
    /// The largest reply that is stored, in bytes.
    package var maximumEntry: Int
    /// The largest message accepted from a client, in bytes.
    package var maximumMessage: Int
    /// From the connection to the end of the startup phase.
    package var startupTimeout: TimeAmount
    /// Whether identical misses wait for one upstream execution.
    package var sharesFlights: Bool
    /// Whether, and for how long, the reply of a cacheable statement may be stored.
    package var policy: @Sendable (_ readSet: [Relation], _ query: String) -> CacheDecision
    /// The rule that `policy` follows for such a statement, in words; nil where none matches.
    package var matchingRule: @Sendable (_ readSet: [Relation], _ query: String) -> String?
    /// The share of hits, from 0 to 1, that are also run upstream and compared.
    package var verifiedShare: Double
    /// For how long answers are given while the upstream is away; nanoseconds.
    package var staleIfError: UInt64 = 0
    /// How the upstream is asked for users' secrets; nil where it is not.
    package var secretQuestion: RoleSecretQuestion?

    package init(
        isCacheEnabled: Bool, maximumEntry: Int, maximumMessage: Int, startupTimeout: TimeAmount,
        sharesFlights: Bool = true, verifiedShare: Double = 0,
        matchingRule: @escaping @Sendable ([Relation], String) -> String? = { _, _ in nil },
        policy: @escaping @Sendable ([Relation], String) -> CacheDecision
    ) {
        self.isCacheEnabled = isCacheEnabled
        self.maximumEntry = maximumEntry
        self.maximumMessage = maximumMessage
        self.startupTimeout = startupTimeout
        self.sharesFlights = sharesFlights
        self.verifiedShare = verifiedShare
        self.matchingRule = matchingRule
        self.policy = policy
    }
}

package enum CacheDecision: Hashable, Sendable {
    case never
    /// Nanoseconds; nil: until invalidated.
    case store(timeToLive: UInt64?)
}

/// Monotonic time in nanoseconds.
enum MonotonicClock {
    static var now: UInt64 { NIODeadline.now().uptimeNanoseconds }
}
