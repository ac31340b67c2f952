import Synchronization

/// The leader's end of a flight. Whoever holds it executes the query for all.
package final class Flight: Sendable {
    private let state: FlightState
    private let key: FlightTable.Key
    private let table: FlightTable

    init(state: FlightState, key: FlightTable.Key, table: FlightTable) {
        self.state = state
        self.key = key
        self.table = table
    }

    /// A leader that goes without a word leaves nobody waiting. Runs the followers' callbacks
    /// where the last reference is dropped: hold no lock there.
    deinit {
        finish(.leaderFailed)
    }

    /// Ends the flight and tells every follower, in the order in which they came, on this thread.
    /// The first call decides; later ones do nothing. Store the reply first.
    package func finish(_ outcome: FlightOutcome) {
        guard let followers = state.end() else { return }
        // Off the table before anyone is told, so that a follower that joins again from within
        // its callback finds no flight that has ended.
        table.remove(state, key: key)
        for ticket in followers { ticket.deliver(outcome) }
    }
}

/// What the table, the leader and the followers share about one flight.
final class FlightState: Sendable {
    enum Admission {
        case accepted(FlightTicket)
        case full
        case otherLease
        case ended
    }

    private struct Waiting {
        var hasEnded = false
        var tickets: [UInt64: FlightTicket] = [:]
        var nextNumber: UInt64 = 0
    }

    let lease: FillLease
    private let waiting = Mutex(Waiting())

    init(lease: FillLease) {
        self.lease = lease
    }

    func admit(
        _ lease: FillLease, maximumFollowers: Int,
        onEnd: @escaping @Sendable (FlightOutcome) -> Void
    ) -> Admission {
        waiting.withLock { waiting in
            guard !waiting.hasEnded else { return .ended }
            guard lease == self.lease else { return .otherLease }
            guard waiting.tickets.count < maximumFollowers else { return .full }
            let number = waiting.nextNumber
            waiting.nextNumber += 1
            let ticket = FlightTicket(number: number, flight: self, onEnd: onEnd)
            waiting.tickets[number] = ticket
            return .accepted(ticket)
        }
    }

    /// Closes the flight to newcomers. Returns who waits, or nil if it had ended before.
    func end() -> [FlightTicket]? {
        let tickets = waiting.withLock { waiting -> [UInt64: FlightTicket]? in
            guard !waiting.hasEnded else { return nil }
            waiting.hasEnded = true
            return exchange(&waiting.tickets, with: [:])
        }
        return tickets?.values.sorted { $0.number < $1.number }
    }

    func withdraw(_ number: UInt64) {
        // The ticket is held by the caller, so nothing is freed under the lock.
        waiting.withLock { $0.tickets[number] = nil }
    }
}
