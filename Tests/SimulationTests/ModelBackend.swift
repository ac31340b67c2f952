import NIOCore
import PostgresWire

/// A statement that a backend has run and answered, as its client must be told of it.
struct Execution {
    let read: Read
    let parameters: [Int32?]
    let answer: ModelAnswer
    /// The time zone that its statement was parsed with.
    let parseZone: Int
}

/// One server-side session of the model database.
///
/// Everything happens in steps: a message is taken, a statement is run, a commit becomes visible, a
/// commit is answered. Between two of them anything else may happen, the loss of the link included;
/// the session then goes on by itself for as long as it has something to do, or ends at any point.
/// Its part for the wire protocol is `ModelBackend+Messages`.
final class ModelBackend {
    enum Work {
        case statement(ModelStatement, isLast: Bool)
        case commit(thenComplete: String?)
        case ready
    }

    struct Commit {
        let effects: [Effect]
        /// What holds if it fails.
        let settingsBefore: ModelSettings
        var isVisible = false
        /// An error is told instead.
        var hasFailed = false
        var tag: String?
    }

    struct Portal {
        let statement: ModelStatement?
        let parameters: [Int32?]
        let isBinary: Bool
        let parseZone: Int
        /// The answer of a read, from the snapshot that Bind took.
        var answer: ModelAnswer?
    }

    struct Prepared {
        let statement: ModelStatement?
        let parseZone: Int
        let parameterTypes: [UInt32]
        /// Who had the connection when it was parsed.
        let client: String?
    }

    let processID: Int32
    unowned let simulation: Simulation
    /// Whose session it is; on a shared connection, who has it and has sent something.
    var client: SimulatedClient?
    /// The client has got it from a pool, and nothing of its own has arrived yet.
    var isUnmet = false
    /// nil once the link is lost or closed.
    weak var link: ModelLink?

    // What is on its way: to the server, read by it, and from it.
    var arriving = ByteBuffer()
    var received: [MessageFrame] = []
    var leaving = ByteBuffer()

    var settings = ModelSettings()
    var reportedZone = 0
    var transaction: ModelTransaction?
    var hasFailed = false
    var statements: [String: Prepared] = [:]
    var portals: [String: Portal] = [:]
    var isSkippingToSync = false
    var work: [Work] = []
    var commit: Commit?
    var isCancelled = false
    /// What the next CommandComplete is of.
    var unfinished: Execution?
    /// Until that step of the simulation it does nothing.
    var stalledUntil = 0
    private(set) var hasEnded = false
    /// Something of it became visible after its link was lost.
    private(set) var committedAlone = false

    init(processID: Int32, simulation: Simulation, client: SimulatedClient?) {
        self.processID = processID
        self.simulation = simulation
        self.client = client
    }

    var isOrphan: Bool { link == nil }

    var status: TransactionStatus {
        guard transaction?.isBlock ?? false else { return .idle }
        return hasFailed ? .failed : .inBlock
    }

    var hasWork: Bool {
        !hasEnded && (commit != nil || !work.isEmpty || !received.isEmpty)
    }

    // MARK: Steps

    /// Messages that have been sent reach the server.
    func receive() throws {
        while let frame = try MessageFraming.next(in: &arriving, limit: 1 << 20) {
            received.append(frame)
        }
    }

    func step() {
        if commit != nil {
            stepCommit()
        } else if !work.isEmpty {
            run(work.removeFirst())
        } else if !received.isEmpty {
            take(received.removeFirst())
        }
    }

    private func stepCommit() {
        guard var running = commit else { return }
        if running.isVisible || running.hasFailed {
            commit = nil
            if running.hasFailed {
                settings = running.settingsBefore
                fail("23505", "constraint violated at commit")
            } else if let tag = running.tag {
                complete(tag)
            }
            return
        }
        do {
            if !running.effects.isEmpty,
                simulation.chance.permille(simulation.features.abortedCommits)
            {
                throw ConstraintViolation()
            }
            try simulation.makeVisible(running.effects, backend: self)
            if isOrphan { committedAlone = true }
            running.isVisible = true
        } catch {
            simulation.counters.abortedCommits += 1
            running.hasFailed = true
        }
        commit = running
    }

    private func run(_ work: Work) {
        switch work {
        case .statement(let statement, let isLast):
            runSimple(statement, isLast: isLast)
        case .commit(let tag):
            endTransaction(committing: true, tag: tag)
        case .ready:
            writeReady()
        }
    }

    func writeReady() {
        if settings.zone != reportedZone {
            reportedZone = settings.zone
            leaving.writeParameterStatus("TimeZone", settings.zoneName)
        }
        leaving.writeReadyForQuery(status)
        // Nothing is running any more that could be cancelled.
        if simulation.features.pool != nil { isCancelled = false }
    }

    // MARK: Transactions

    /// Ends the transaction; what is to be committed takes two more steps.
    func endTransaction(committing: Bool, tag: String?) {
        guard let ending = transaction else {
            if let tag { complete(tag) }
            return
        }
        transaction = nil
        hasFailed = false
        portals = [:]
        if committing {
            settings = ending.settingsAfter
            commit = Commit(
                effects: ending.effects, settingsBefore: ending.settingsBefore, tag: tag)
            // Nothing to make visible: answered at once.
            if ending.effects.isEmpty { commit?.isVisible = true }
        } else {
            settings = ending.settingsBefore
            if let tag { leaving.writeCommandComplete(tag) }
        }
    }

    /// An error: what is left of the Query, or up to the Sync, is not run.
    func fail(_ state: String, _ message: String) {
        leaving.writeErrorResponse(PostgresError(SQLState(rawValue: state), message))
        isCancelled = false
        unfinished = nil
        if isInQuery {
            work = [.ready]
        } else {
            isSkippingToSync = true
        }
        if transaction?.isBlock ?? false {
            hasFailed = true
        } else {
            if let before = transaction?.settingsBefore { settings = before }
            transaction = nil
        }
    }

    /// A simple Query is being run.
    var isInQuery: Bool {
        work.contains { if case .ready = $0 { true } else { false } }
    }

    // MARK: The end

    /// The process ends: what was not committed never will be.
    func end() {
        simulation.trace("backend \(processID) of client \(client?.name ?? "") ends")
        hasEnded = true
        received = []
        work = []
        commit = nil
        transaction = nil
    }
}
