import Synchronization

/// A follower's place in a flight. Dropping it does not give the place up; `cancel()` does.
package final class FlightTicket: Sendable {
    let number: UInt64
    private let flight: FlightState
    private let onEnd: Mutex<(@Sendable (FlightOutcome) -> Void)?>

    init(
        number: UInt64, flight: FlightState, onEnd: @escaping @Sendable (FlightOutcome) -> Void
    ) {
        self.number = number
        self.flight = flight
        self.onEnd = Mutex(onEnd)
    }

    /// Stops waiting and frees the place for another. From any thread, any number of times.
    ///
    /// Returns true if this ended the wait: `onEnd` was not called and never will be. Returns
    /// false if the wait had ended before, by an earlier `cancel()` or because the outcome came
    /// first: then `onEnd` has been called, or is being called by another thread right now.
    @discardableResult
    package func cancel() -> Bool {
        let withdrawn = take()
        flight.withdraw(number)
        return withdrawn != nil
    }

    func deliver(_ outcome: FlightOutcome) {
        take()?(outcome)
    }

    /// Whoever takes the callback is the only one who can call it or let it go.
    private func take() -> (@Sendable (FlightOutcome) -> Void)? {
        onEnd.withLock { exchange(&$0, with: nil) }
    }
}
