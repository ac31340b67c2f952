/// The invariants of the coherence protocol that the simulation checks.
enum Invariant: String {
    /// Each read's answer is one that the database could have given between the read's arrival and
    /// its reply.
    case answer = "linearizable reads"
    /// A commit becomes visible only within a window of every relation that it changes.
    case window = "I2 window"
    /// When all is quiet no cell has a writer in flight.
    case leak = "I4 no leak of windows"
    /// Nothing is answered from memory in a transaction that has written or keeps a snapshot.
    case transaction = "I5 fill provenance"
    /// A session's replies come in the order of its requests.
    case order = "I7 order"
    /// A shared connection holds nothing of the client that had it last, but what the pool knows of.
    case pool = "clean connections"
    /// The cache holds no more than it may.
    case memory = "I11 bounded"
    /// Every request is answered in the end.
    case liveness = "liveness"
}

/// An invariant that was found not to hold.
struct Violation: Error, CustomStringConvertible {
    let invariant: Invariant
    let details: String

    init(_ invariant: Invariant, _ details: String) {
        self.invariant = invariant
        self.details = details
    }

    var description: String { "\(invariant.rawValue): \(details)" }
}
