/// How often what the simulation is there for has really happened.
struct SimulationCounters {
    var steps = 0
    var reads = 0
    var hits = 0
    /// Hits on a row although another row of its table had been changed since the fill.
    var survivingHits = 0
    var visibleTransactions = 0
    var abortedCommits = 0
    var rejectedSettings = 0
    var cancelled = 0
    var lostLinks = 0
    var unknownOutcomes = 0
    var settledCommitted = 0
    var settledAborted = 0
    var rejectedFills = 0
    /// Reads that were not stored because a write was in flight when they came.
    var overlappedFills = 0
    var evictions = 0
    var sharedFlights = 0
    var sweptEntries = 0
    var catalogChanges = 0
    /// Of connections from pools: how often a client that sends something has got one.
    var borrows = 0
    var waits = 0
    /// Waits that the pool has ended.
    var timeouts = 0
    var replays = 0
    var rejectedReplays = 0
    /// Executions of statements that another client has had prepared.
    var sharedStatements = 0
    /// Connections made fit for others by DISCARD ALL.
    var resets = 0
    /// Connections of pools that were lost while no client had them.
    var lostUnlent = 0

    static func += (sum: inout SimulationCounters, part: SimulationCounters) {
        for path in all { sum[keyPath: path.1] += part[keyPath: path.1] }
    }

    /// Each with its name; all of them must be more than zero in every run.
    nonisolated(unsafe) static let all: [(String, WritableKeyPath<SimulationCounters, Int>)] = [
        ("steps", \.steps), ("reads", \.reads), ("hits", \.hits),
        ("surviving hits", \.survivingHits), ("visible transactions", \.visibleTransactions),
        ("aborted commits", \.abortedCommits), ("rejected settings", \.rejectedSettings),
        ("cancelled statements", \.cancelled), ("lost links", \.lostLinks),
        ("unknown outcomes", \.unknownOutcomes),
        ("outcomes settled as committed", \.settledCommitted),
        ("outcomes settled as aborted", \.settledAborted), ("rejected fills", \.rejectedFills),
        ("fills overlapped by windows", \.overlappedFills), ("evictions", \.evictions),
        ("shared flights", \.sharedFlights), ("swept entries", \.sweptEntries),
        ("catalog changes", \.catalogChanges), ("connections borrowed", \.borrows),
        ("waits for connections", \.waits), ("waits in vain", \.timeouts),
        ("settings replayed", \.replays), ("replays rejected", \.rejectedReplays),
        ("shared statements used", \.sharedStatements), ("connections reset", \.resets),
        ("connections lost while nobody had them", \.lostUnlent),
    ]
}
