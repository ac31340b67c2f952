/// The database that all nodes of a simulation share: a version for each relation, commits that it
/// has been sent and makes visible when it likes, and the lock by which it tells who leads.
struct SimulatedDatabase {
    /// Tells one life of a node from the next.
    struct Process: Hashable {
        var node: Int
        var life: Int
    }

    struct Commit {
        var number: Int
        var process: Process
        var relation: Int
    }

    static let relations = 2

    private(set) var sent: [Commit] = []
    private(set) var done: [Int: UInt64] = [:]
    private var changes: [[UInt64]] = Array(repeating: [0], count: relations)
    var leader: Process?

    func version(of relation: Int) -> Int { changes[relation].count - 1 }

    /// Whether the relation had that version at some instant of the time.
    func held(_ version: Int, _ relation: Int, from start: UInt64, to end: UInt64) -> Bool {
        guard changes[relation].indices.contains(version) else { return false }
        let next = version + 1
        let last = next < changes[relation].count ? changes[relation][next] : .max
        return changes[relation][version] <= end && last >= start
    }

    mutating func send(_ commit: Commit) { sent.append(commit) }

    /// A commit becomes visible.
    mutating func makeVisible(_ index: Int, at time: UInt64) {
        let commit = sent.remove(at: index)
        changes[commit.relation].append(time)
        done[commit.number] = time
    }

    func isOpen(_ number: Int) -> Bool { sent.contains { $0.number == number } }

    /// A commit fails.
    mutating func abort(_ index: Int) { sent.remove(at: index) }

    /// Ends every session that is not of this process.
    mutating func endSessions(otherThanOf process: Process) {
        sent.removeAll { $0.process != process }
    }

    mutating func endSessions(of process: Process) {
        sent.removeAll { $0.process == process }
    }
}
