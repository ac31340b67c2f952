import Logging
import NIOCore
import NIOPosix
import ResultCache
import ServiceLifecycle
import Session
import Snapshots
import Telemetry

/// Runs the statements of snapshots again, in the background, one after the other and no faster than
/// `snapshot.warm_up_rate`.
///
/// Each runs in a session of the user who asked for it, made as that user's clients make theirs: a
/// login with what `upstream.url` says. Where that is not enough (the server wants the user's own
/// password), or the session comes out with other settings than the answer was for, the statement is
/// skipped: its answer would be nobody's.
struct WarmUpService: Service {
    let lists: AsyncStream<WarmUpList>
    let rate: Int
    let services: SessionServices
    let registry: ConnectionRegistry
    let group: MultiThreadedEventLoopGroup
    let logger: Logger

    private static let maximumSessions = 8

    func run() async throws {
        try? await withGracefulShutdownHandlerCancelling {
            for await list in lists {
                try Task.checkCancellation()
                try await run(list)
            }
        }
    }

    private func run(_ list: WarmUpList) async throws {
        let counters = services.metrics.snapshots
        counters.warmUpSkipped.add(list.skipped)
        counters.warmUpPending.set(list.statements.count)
        defer { counters.warmUpPending.set(0) }
        try await waitForDatabase()
        var warmer = Warmer(service: self, list: list)
        defer { warmer.endSessions() }
        let interval = Duration.nanoseconds(1_000_000_000 / Int64(rate))
        var next = ContinuousClock.now
        for (index, statement) in list.statements.enumerated() {
            // One that took long is not made up for.
            next = max(next + interval, .now)
            switch await warmer.run(statement) {
            case .run: counters.warmUpRun.increment()
            case .failed: counters.warmUpFailed.increment()
            case .skipped:
                counters.warmUpSkipped.increment()
                next = .now
            }
            counters.warmUpPending.set(list.statements.count - index - 1)
            try await Task.sleep(until: next, clock: .continuous)
        }
        logger.notice(
            "warm-up finished",
            metadata: [
                "run": "\(warmer.count(.run))", "failed": "\(warmer.count(.failed))",
                "skipped": "\(warmer.count(.skipped) + list.skipped)",
            ])
    }

    private func waitForDatabase() async throws {
        while (try? await services.upstream.checkReachable()) == nil {
            try await Task.sleep(for: .seconds(1))
        }
    }

    enum Result: Hashable {
        case run, failed, skipped
    }

    /// One list on its way.
    private struct Warmer {
        let service: WarmUpService
        let list: WarmUpList
        private var sessions: [UInt64: InternalSession] = [:]
        /// For whom there is no session like theirs.
        private var impossible: Set<UInt64> = []
        private var counts: [Result: Int] = [:]

        init(service: WarmUpService, list: WarmUpList) {
            self.service = service
            self.list = list
        }

        func count(_ result: Result) -> Int { counts[result] ?? 0 }

        mutating func endSessions() {
            for session in sessions.values { session.end() }
            sessions = [:]
        }

        mutating func run(_ statement: WarmUpStatement) async -> Result {
            let result = await attempt(statement)
            counts[result, default: 0] += 1
            return result
        }

        private mutating func attempt(_ statement: WarmUpStatement) async -> Result {
            guard let session = await session(for: statement.identity) else { return .skipped }
            do {
                let outcome = try await session.run(
                    statement.text, parameterTypes: statement.parameterTypes,
                    bindTail: statement.isPlain ? nil : statement.bindTail)
                switch outcome {
                case .answered: return .run
                case .notCacheable: return .skipped
                case .failed: return .failed
                }
            } catch {
                sessions.removeValue(forKey: statement.identity)?.end()
                return .failed
            }
        }

        private mutating func session(for identity: UInt64) async -> InternalSession? {
            if let session = sessions[identity] { return session }
            guard !impossible.contains(identity), let wanted = list.identities[identity] else {
                return nil
            }
            if sessions.count >= WarmUpService.maximumSessions { endSessions() }
            guard let session = await service.session(like: wanted) else {
                impossible.insert(identity)
                return nil
            }
            sessions[identity] = session
            return session
        }
    }

    /// A session that the cache takes for one with exactly these settings; nil where there is none to
    /// be had.
    private func session(
        like wanted: SessionIdentityTable.Components
    ) async -> InternalSession? {
        guard let (plain, settings) = await begin(wanted, [:]) else { return nil }
        if settings == wanted { return plain }
        plain.end()
        // What clients' drivers ask for at the start, as the server has reported it.
        var parameters: [String: String] = [:]
        for (name, value) in wanted.settings where settings.settings[name] != value {
            let reported = "reported "
            let key = name.hasPrefix(reported) ? String(name.dropFirst(reported.count)) : name
            parameters[key] = value
        }
        guard let (session, settings) = await begin(wanted, parameters) else { return nil }
        if settings == wanted { return session }
        session.end()
        return nil
    }

    private func begin(
        _ wanted: SessionIdentityTable.Components, _ parameters: [String: String]
    ) async -> (InternalSession, SessionIdentityTable.Components)? {
        guard
            let session = try? await InternalSession.begin(
                services: services, registry: registry, on: group.next(), user: wanted.user,
                database: wanted.database, parameters: parameters)
        else { return nil }
        guard let identity = try? await session.identity(),
            let components = services.identities.components(of: identity)
        else {
            session.end()
            return nil
        }
        return (session, components)
    }
}
