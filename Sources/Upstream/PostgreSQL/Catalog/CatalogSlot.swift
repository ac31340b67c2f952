import Dispatch
import ResultCache
import SQLAnalysis
import Synchronization

/// The newest known catalog of one database, the profiles made from it, and the statements that
/// wait for the next one.
final class CatalogSlot: Sendable {
    /// A catalog is good for as long as the catalog cell has the word that it had before and
    /// after the catalog was read.
    private struct Snapshot {
        let catalog: PostgreSQLCatalog
        let lease: FillLease
    }

    private struct Waiter {
        let facts: [SyntaxFacts]
        let question: ProfileQuestion
        let completion: @Sendable (QueryProfile) -> Void
    }

    private struct State {
        var snapshot: Snapshot?
        var profiles = BoundedMemo<ProfileQuestion, QueryProfile>(
            maximumCount: 16_384, maximumBytes: 64 << 20)
        var waiters: [Int: Waiter] = [:]
        var nextWaiter = 0
        var isLoading = false
        var retryNotBefore: DispatchTime?
    }

    enum Waiting {
        case joined(waiter: Int)
        case mustStart(waiter: Int)
        case refused
    }

    /// Why it could not be read the last time.
    let lastFailure = Mutex<String?>(nil)

    /// Reads of the catalog before giving up on a catalog that keeps moving.
    private static let maximumAttempts = 3
    private static let retryInterval: DispatchTimeInterval = .milliseconds(250)

    private let cells: CellSet
    private let state = Mutex(State())

    init(cell: VersionCell) {
        cells = CellSet([cell])
    }

    /// The profile, if the catalog is fresh.
    func profile(_ question: ProfileQuestion, _ facts: [SyntaxFacts]) -> QueryProfile? {
        let (known, snapshot) = state.withLock { state in
            guard let snapshot = state.snapshot, snapshot.lease.isValid else {
                return (QueryProfile?.none, Snapshot?.none)
            }
            return (state.profiles.value(for: question), snapshot)
        }
        guard let snapshot else { return nil }
        if let known, known.catalogVersion == snapshot.lease.sum { return known }
        let profile = Self.resolve(question, facts, snapshot)
        // 1 KiB for the sets; the text is the larger part of most.
        let bytes = question.sql.utf8.count + 1_024
        state.withLock { $0.profiles.add(profile, bytes: bytes, for: question) }
        return profile
    }

    /// What is assumed while the catalog cannot be had: nothing is answered from memory and
    /// everything may be changed. The last catalog known serves only to tell whether a function
    /// may leave session state behind. Its version is one that no catalog has, so that the
    /// statement is looked at anew.
    func conservativeProfile(
        _ question: ProfileQuestion, _ facts: [SyntaxFacts]
    ) -> QueryProfile {
        let profile = ProfileResolver.profileWithoutCatalog(of: facts, catalogVersion: .max)
        guard let stale = state.withLock({ $0.snapshot }) else { return profile }
        let last = Self.resolve(question, facts, stale)
        var statements = profile.statements
        for index in statements.indices {
            statements[index].taintsSession = last.statements[index].taintsSession
            // DDL runs what event triggers do; what else calls what by now is not known.
            if case .definition = facts[index].kind {
                statements[index].sessionEffects = last.statements[index].sessionEffects
            }
        }
        return QueryProfile(statements: statements, catalogVersion: .max)
    }

    /// The profile of what is DDL alone: it changes everything whatever the catalog holds, so that a
    /// catalog which other DDL has made old does not keep it waiting; nil for anything else.
    func profileOfDefinitions(
        _ question: ProfileQuestion, _ facts: [SyntaxFacts]
    ) -> QueryProfile? {
        let isDefinition = facts.allSatisfy { facts in
            if case .definition = facts.kind { true } else { false }
        }
        guard isDefinition, state.withLock({ $0.snapshot != nil }) else { return nil }
        return conservativeProfile(question, facts)
    }

    private static func resolve(
        _ question: ProfileQuestion, _ facts: [SyntaxFacts], _ snapshot: Snapshot
    ) -> QueryProfile {
        ProfileResolver.profile(
            of: facts, catalog: snapshot.catalog, context: question.context,
            parameterTypes: question.parameterTypes, catalogVersion: snapshot.lease.sum)
    }

    /// A name for a family, from the newest catalog known; whether it is fresh makes no difference.
    func relation(ofFamily family: UInt32) -> Relation? {
        state.withLock { $0.snapshot }?.catalog.representative(ofFamily: family)?.relation
    }

    // MARK: Waiting

    func wait(
        facts: [SyntaxFacts], question: ProfileQuestion,
        _ completion: @escaping @Sendable (QueryProfile) -> Void
    ) -> Waiting {
        state.withLock { state in
            if !state.isLoading, let earliest = state.retryNotBefore, earliest > .now() {
                return .refused
            }
            guard state.waiters.count < PostgreSQLAnalyzer.maximumWaiters else { return .refused }
            let number = state.nextWaiter
            state.nextWaiter += 1
            state.waiters[number] = Waiter(
                facts: facts, question: question, completion: completion)
            if state.isLoading { return .joined(waiter: number) }
            state.isLoading = true
            return .mustStart(waiter: number)
        }
    }

    /// The waiter's time is up; it may have been served already.
    func giveUp(_ number: Int) {
        guard let waiter = state.withLock({ $0.waiters.removeValue(forKey: number) }) else {
            return
        }
        waiter.completion(conservativeProfile(waiter.question, waiter.facts))
    }

    // MARK: Loading

    /// Reads the catalog until one was read that nothing moved under. Call on the control
    /// connection's thread.
    func load(
        _ read: () throws(ControlError) -> CatalogRows
    ) throws(ControlError) {
        for _ in 0..<Self.maximumAttempts {
            guard let lease = cells.capture() else {
                throw ControlError("a change of the catalog is being committed")
            }
            let catalog = PostgreSQLCatalog(try read())
            guard lease.isValid else { continue }
            finish(Snapshot(catalog: catalog, lease: lease))
            return
        }
        throw ControlError("the catalog changed while it was read")
    }

    private func finish(_ snapshot: Snapshot) {
        let waiters = state.withLock { state in
            state.snapshot = snapshot
            state.profiles = BoundedMemo(maximumCount: 16_384, maximumBytes: 64 << 20)
            state.isLoading = false
            state.retryNotBefore = nil
            let waiters = state.waiters.values
            state.waiters = [:]
            return Array(waiters)
        }
        for waiter in waiters {
            waiter.completion(Self.resolve(waiter.question, waiter.facts, snapshot))
        }
    }

    func loadFailed() {
        let waiters = state.withLock { state in
            state.isLoading = false
            state.retryNotBefore = .now() + Self.retryInterval
            let waiters = state.waiters.values
            state.waiters = [:]
            return Array(waiters)
        }
        for waiter in waiters {
            waiter.completion(conservativeProfile(waiter.question, waiter.facts))
        }
    }
}
