import Crypto
import Foundation
import Logging
import NIOCore
import ProxyConfiguration
import ResultCache
import Session
import Snapshots
import Synchronization
import Telemetry
import Upstream

/// Saves and restores the cache of one proxy: one thing at a time, in the order in which it is asked
/// for.
actor SnapshotKeeper {
    nonisolated let settings: ProxyConfiguration.Snapshot
    nonisolated let directory: SnapshotDirectory
    private let key: SnapshotKey?
    private let services: SessionServices
    private let logger: Logger
    /// Where statements go that are to be run again.
    private let warmUps: AsyncStream<WarmUpList>.Continuation
    private let policy: Mutex<String>
    private var last: Task<Void, Never>?

    /// Attempts to find a moment in which nothing changes while the answers are collected.
    private static let attempts = 3

    init(
        settings: ProxyConfiguration.Snapshot, directory: SnapshotDirectory, key: SnapshotKey?,
        policy: CachePolicy, services: SessionServices, logger: Logger,
        warmUps: AsyncStream<WarmUpList>.Continuation
    ) {
        self.settings = settings
        self.directory = directory
        self.key = key
        self.services = services
        self.logger = logger
        self.warmUps = warmUps
        self.policy = Mutex(Self.hash(policy))
    }

    /// The rules have changed, and what was stored under others is gone.
    nonisolated func policyChanged(to new: CachePolicy) {
        policy.withLock { $0 = Self.hash(new) }
    }

    /// Rules may quote a statement's literals: not the words themselves.
    private static func hash(_ policy: CachePolicy) -> String {
        SHA256.hash(data: Data(policy.canonicalText.utf8)).map { String($0, radix: 16) }
            .joined(separator: ":")
    }

    private func inOrder<Value: Sendable>(
        _ work: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        let previous = last
        let task = Task {
            await previous?.value
            return try await work()
        }
        last = Task { _ = await task.result }
        return try await task.value
    }
}

// MARK: - Saving

extension SnapshotKeeper {
    struct Saved: Sendable {
        var path: String
        var answers: Int
        var bytes: Int
        /// Whether its answers can be used as they are if the database does not change.
        var isProvable: Bool
    }

    /// Writes a snapshot: to `path`, or into the directory, where old ones then go. Throws
    /// `SnapshotError`, with nothing of it left.
    func save(to path: String? = nil) async throws -> Saved {
        try await inOrder { [self] in
            let began = ContinuousClock.now
            let counters = services.metrics.snapshots
            do {
                let saved = try await write(to: path)
                counters.written.increment()
                counters.lastTime.set(Int(Self.wallClock))
                counters.lastDuration.set(Int((ContinuousClock.now - began) / .milliseconds(1)))
                counters.lastBytes.set(saved.bytes)
                counters.lastEntries.set(saved.answers)
                logger.info(
                    "snapshot written",
                    metadata: [
                        "file": "\(saved.path)", "answers": "\(saved.answers)",
                        "bytes": "\(saved.bytes)", "provable": "\(saved.isProvable)",
                    ])
                return saved
            } catch {
                counters.failed.increment()
                logger.error("snapshot not written: \(error)")
                throw error
            }
        }
    }

    /// `save`, unless there is nothing to be saved: an older snapshot is of more use then.
    func saveIfAnything() async {
        guard !SnapshotCollection(of: services.cache, now: Self.now).isEmpty else {
            logger.info("no snapshot written: the cache holds no answer")
            return
        }
        // What went wrong is in the log.
        _ = try? await save()
    }

    private nonisolated func write(to path: String?) async throws -> Saved {
        let collected = await collect()
        let target = path ?? directory.name(created: collected.created)
        let (key, cells, identities) = (key, services.cells, services.identities)
        let (answers, bytes) = try await ProxyServer.onThread {
            var answers = 0
            let bytes = try SnapshotFile.write(to: target, created: collected.created, key: key) {
                (writer) throws(SnapshotError) in
                answers = try collected.answers.write(
                    to: &writer, provenance: collected.provenance, cells: cells,
                    identities: identities)
            }
            return (answers, bytes)
        }
        if path == nil {
            do {
                try directory.prune(keep: settings.keep)
            } catch {
                logger.warning("old snapshots not removed: \(error)")
            }
        }
        return Saved(
            path: target, answers: answers, bytes: bytes,
            isProvable: collected.provenance.contents != nil)
    }

    /// The answers, when they were found, and what is known of the database that they are true of.
    private struct Collected: Sendable {
        var answers = SnapshotCollection.empty
        var created: UInt64 = 0
        var provenance: SnapshotProvenance
    }

    private nonisolated func collect() async -> Collected {
        let cache = services.cache
        let found = Mutex(
            Collected(
                provenance: SnapshotProvenance(
                    product: ProductBuild.text, policy: policy.withLock { $0 }, contents: nil,
                    user: "", database: "")))
        let look: @Sendable () -> Void = {
            // The clock first: an age may only be counted too long.
            let created = Self.wallClock
            let answers = SnapshotCollection(of: cache, now: Self.now)
            found.withLock { found in
                found.answers = answers
                found.created = created
            }
        }
        look()
        // Where the configuration names no user, some can be asked as and others not.
        let logins = found.withLock { $0.answers }.logins(
            in: services.identities, cells: services.cells, limit: Self.attempts)
        for attempt in 0..<Self.attempts where !logins.isEmpty {
            let login = logins[attempt % logins.count]
            let question = ContentsQuestion(
                database: login.database, user: login.user, mustBeQuiet: false)
            // What a mirror holds may be older than what the database says of itself.
            guard !services.right.isFollowing,
                let contents = await services.upstream.contents(question, during: look)
            else { continue }
            found.withLock { found in
                found.provenance.contents = contents
                found.provenance.user = login.user
                found.provenance.database = login.database
            }
            break
        }
        return found.withLock { $0 }
    }

    /// Milliseconds since 1970.
    static var wallClock: UInt64 { UInt64(max(0, Date().timeIntervalSince1970 * 1000)) }

    /// The clock of the cache's expiries, in nanoseconds.
    static var now: UInt64 { NIODeadline.now().uptimeNanoseconds }
}

// MARK: - Restoring

extension SnapshotKeeper {
    enum Restored: Sendable {
        case answers(SnapshotRestorer.Outcome)
        /// Why its answers are not used, and how many statements are run again.
        case warmUp(reason: String, statements: Int)
    }

    /// Reads a snapshot, uses its answers if that is provably right, and has its statements run again
    /// otherwise. Throws `SnapshotError` where it is refused, with nothing changed.
    @discardableResult
    func restore(_ path: String) async throws -> Restored {
        try await inOrder { [self] in
            let counters = services.metrics.snapshots
            let (key, limit) = (key, services.cache.limits.memory)
            let image: SnapshotImage
            do {
                image = try await ProxyServer.onThread {
                    try SnapshotFile.read(path, key: key, maximumBytes: limit)
                }
            } catch {
                counters.refused.increment()
                logger.error(
                    "snapshot refused: \(error); nothing of it is used",
                    metadata: ["file": "\(path)"])
                throw error
            }
            let restored = await use(image)
            switch restored {
            case .answers(let outcome):
                counters.restored.increment()
                counters.entriesRestored.add(outcome.restored)
                counters.entriesSkipped.add(outcome.skipped + outcome.expired)
                logger.notice(
                    "snapshot restored",
                    metadata: [
                        "file": "\(path)", "answers": "\(outcome.restored)",
                        "skipped": "\(outcome.skipped)", "expired": "\(outcome.expired)",
                    ])
            case .warmUp(let reason, let statements):
                counters.warmedUp.increment()
                logger.notice(
                    "the answers of the snapshot are not used, its statements are run again",
                    metadata: [
                        "file": "\(path)", "reason": "\(reason)", "statements": "\(statements)",
                    ])
            }
            return restored
        }
    }

    /// The newest snapshot in the directory, if there is one. One that is refused is in the log, and
    /// the cache stays empty.
    func restoreNewest() async throws {
        guard let newest = try directory.snapshots().first else {
            logger.info("no snapshot: the cache begins empty")
            return
        }
        _ = try? await restore(newest)
    }

    private nonisolated func use(_ image: SnapshotImage) async -> Restored {
        if let reason = objection(to: image.provenance) { return warmUp(image, reason) }
        guard let expected = image.provenance.contents else {
            return warmUp(image, "it was not written at a moment that can be recognised")
        }
        let restorer = SnapshotRestorer(
            image, cells: services.cells, identities: services.identities)
        let found = await services.upstream.contents(
            ContentsQuestion(
                database: image.provenance.database, user: image.provenance.user, mustBeQuiet: true)
        ) {}
        guard let found else {
            return warmUp(image, "it cannot be told whether the database has changed")
        }
        guard found == expected else {
            let names = Set(found.keys).union(expected.keys).filter { found[$0] != expected[$0] }
            return warmUp(
                image, "the database has changed (\(names.sorted().joined(separator: ", ")))")
        }
        let written = image.header.created
        let now = Self.wallClock
        let age = now >= written ? (now - written).multipliedReportingOverflow(by: 1_000_000) : nil
        return .answers(
            restorer.store(
                into: services.cache, age: age.map { $0.overflow ? .max : $0.partialValue },
                now: Self.now))
    }

    private nonisolated func objection(to provenance: SnapshotProvenance) -> String? {
        if !services.options.isCacheEnabled { return "the cache is off" }
        if services.right.isFollowing { return "this node mirrors another one's cache" }
        if provenance.product != ProductBuild.text { return "another build of Mynah wrote it" }
        if provenance.policy != policy.withLock({ $0 }) { return "the rules have changed" }
        return nil
    }

    private nonisolated func warmUp(_ image: SnapshotImage, _ reason: String) -> Restored {
        guard settings.warmUpRate > 0, services.options.isCacheEnabled,
            !services.right.isFollowing
        else {
            return .warmUp(reason: reason, statements: 0)
        }
        let list = WarmUpList(image, limit: settings.warmUpLimit)
        warmUps.yield(list)
        return .warmUp(reason: reason, statements: list.statements.count)
    }
}
