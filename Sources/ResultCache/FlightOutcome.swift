/// How an execution that others were waiting for has ended.
package enum FlightOutcome: Sendable {
    /// The answer, for each follower too.
    case reply(CachedReply)
    /// It ended without an answer to share: an error (each follower gets one of its own), a
    /// cancelled or vanished leader. Join again: one of those who do will be the next leader.
    case leaderFailed
    /// Answers to this key cannot be stored as things are. Stop waiting, run alone.
    case notCacheable
}

/// What a session is to do about a miss.
package enum FlightRole: Sendable {
    /// Send the query, store the reply, then finish the flight.
    case leader(Flight)
    /// Send nothing; `onEnd` will be called.
    case follower(FlightTicket)
    /// Send the query, and store the reply if the lease still holds; nobody is to be told.
    case independent
}
